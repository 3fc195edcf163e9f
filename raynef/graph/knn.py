"""The feature graph of Eq. 2: each patch and its nearest patches of the global batch."""

import torch
from torch import Tensor

_BLOCK_ELEMENTS = 1 << 23  # similarities held at once: 32 MB of float32


def unit_rows(features: Tensor) -> Tensor:
    """Rows scaled to unit L2 norm; a zero row stays zero. [N, D] -> [N, D]."""
    norms = features.norm(dim=1, keepdim=True)
    return torch.where(norms > 0, features / norms.where(norms > 0, torch.ones_like(norms)), 0)


def nearest_neighbors(
    queries: Tensor, keys: Tensor, *, num_neighbors: int, first_row: int
) -> tuple[Tensor, Tensor]:
    """The directed affinity S of Eq. 2, in row blocks: nothing N×N is held.

    Args:
        queries: unit rows of this worker, [n, D]; they are rows first_row… of ``keys``.
        keys: unit rows of the global batch, [N, D].
        num_neighbors: k, capped at N - 1.
        first_row: index in ``keys`` of the first query, so that no patch is its own neighbour.

    Returns:
        Columns [n, k] (int64) and cosine similarities [n, k], negatives clamped to 0.
    """
    num_rows, num_keys = queries.shape[0], keys.shape[0]
    k = min(num_neighbors, num_keys - 1)
    columns = torch.empty((num_rows, k), dtype=torch.int64, device=keys.device)
    values = torch.empty((num_rows, k), dtype=keys.dtype, device=keys.device)
    block = max(1, _BLOCK_ELEMENTS // max(1, num_keys))
    for start in range(0, num_rows, block):
        stop = min(start + block, num_rows)
        similarity = queries[start:stop] @ keys.T
        own = torch.arange(start, stop, device=keys.device)
        similarity[own - start, own + first_row] = -torch.inf
        top = torch.topk(similarity, k, dim=1, sorted=False)
        columns[start:stop], values[start:stop] = top.indices, top.values
    return columns, values.clamp_(min=0)
