"""The feature graph of Eq. 2: each patch and its nearest patches of the global batch."""

import torch
from torch import Tensor

from raynef.core.typed import norm

_BLOCK_ELEMENTS = 1 << 23  # similarities held at once: 32 MB of float32
_GROUP = 8  # columns whose maximum decides whether they are looked at


def unit_rows(features: Tensor) -> Tensor:
    """Rows scaled to unit L2 norm; a zero row stays zero. [N, D] -> [N, D]."""
    norms = norm(features, 1, keepdim=True)
    return torch.where(norms > 0, features / torch.where(norms > 0, norms, 1), 0)


def nearest_neighbors(
    queries: Tensor, keys: Tensor, *, num_neighbors: int, first_row: int
) -> tuple[Tensor, Tensor]:
    """The directed affinity S of Eq. 2, in row blocks: nothing N×N is held.

    Args:
        queries: unit rows of this worker, [n, D]: rows ``first_row``… of the keys, so that no patch
            is its own neighbor.
        keys: unit rows of the global batch, [N, D].
        num_neighbors: k, capped at N - 1, and 0 where N is 0.

    Returns:
        Columns [n, k] (int64) and cosine similarities [n, k], negatives clamped to 0.
    """
    num_rows, num_keys = queries.shape[0], keys.shape[0]
    k = min(num_neighbors, max(0, num_keys - 1))
    columns = torch.empty((num_rows, k), dtype=torch.int64, device=keys.device)
    values = torch.empty((num_rows, k), dtype=keys.dtype, device=keys.device)
    width = -(-num_keys // _GROUP) * _GROUP
    block = max(1, min(num_rows, _BLOCK_ELEMENTS // max(1, width)))
    similarity = torch.full((block, width), -torch.inf, dtype=keys.dtype, device=keys.device)
    for start in range(0, num_rows, block):
        stop = min(start + block, num_rows)
        part = similarity[: stop - start]
        torch.mm(queries[start:stop], keys.T, out=part[:, :num_keys])
        own = torch.arange(start, stop, device=keys.device)
        part[own - start, own + first_row] = -torch.inf
        values[start:stop], columns[start:stop] = largest(part, k)
    return columns, values.clamp_(min=0)


def largest(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, unordered: values and columns, [b, k] each, of ``rows`` [b, W].

    The same as ``topk``, in about half the time where W is many times k: the columns fall into
    W/8 groups, and the k largest lie in the k groups with the largest maxima, since each group
    before them holds a larger one. W must be a multiple of 8.
    """
    size, width = rows.shape
    if k * _GROUP >= width:
        top = torch.topk(rows, k, dim=1, sorted=False)
        return top.values, top.indices
    # Group j holds columns j, j + W/8, …: maxima are then taken along whole vectors.
    grouped = rows.view(size, _GROUP, width // _GROUP)
    groups = torch.topk(grouped.amax(dim=1), k, dim=1, sorted=False).indices
    inside = grouped.gather(2, groups[:, None, :].expand(-1, _GROUP, -1)).view(size, -1)
    values, at = torch.topk(inside, k, dim=1, sorted=False)
    return values, groups.gather(1, at % k) + at.div(k, rounding_mode="floor") * (width // _GROUP)
