"""The normalized cut of a clustering (Shi and Malik; arXiv:2205.07839, Sec. 3.1)."""

from collections.abc import Callable

import torch
from torch import Tensor


def normalized_cut(
    matmul: Callable[[Tensor], Tensor], clusters: Tensor, *, num_clusters: int
) -> tuple[float, int]:
    """Mean over the clusters of cut(A, rest) / assoc(A, all), 0 to 1, and how many have a node.

    ``matmul`` is the product of the affinity with [N, b]; ``clusters`` of each node, int64 [N].
    """
    members = torch.nn.functional.one_hot(clusters, num_clusters).double()
    linked = matmul(members)
    within = (members * linked).sum(dim=0)
    total = (members * linked.sum(dim=1, keepdim=True)).sum(dim=0)
    used = total > 0
    cuts = 1 - within[used] / total[used]
    return (float(cuts.mean()) if len(cuts) else 0.0), int(used.sum())
