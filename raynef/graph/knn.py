"""The feature graph of Eq. 2: each patch and its nearest patches of the global batch."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from raynef.config.sections import Search
from raynef.core.devices import allows_cuda
from raynef.core.errors import UserError
from raynef.core.typed import norm

_BLOCK_ELEMENTS = 1 << 23  # similarities held at once: 32 MB of float32
_GROUP = 8  # columns whose maximum decides whether they are looked at


def unit_rows(features: Tensor) -> Tensor:
    """Rows scaled to unit L2 norm; a zero row stays zero. [N, D] -> [N, D]."""
    norms = norm(features, 1, keepdim=True)
    return torch.where(norms > 0, features / torch.where(norms > 0, norms, 1), 0)


def nearest_neighbors(
    queries: Tensor, keys: Tensor, *, num_neighbors: int, first_row: int, search: Search = "blocks"
) -> tuple[Tensor, Tensor]:
    """The directed affinity S of Eq. 2; nothing N×N is held.

    Args:
        queries: unit rows of this worker, [n, D]: rows ``first_row``… of the keys, so that no patch
            is its own neighbor.
        keys: unit rows of the global batch, [N, D].
        num_neighbors: k, capped at N - 1, and 0 where N is 0.
        search: how they are found; all are exact, to rounding. ``auto`` is ``blocks`` here; see
            ``search_on``.

    Returns:
        Columns [n, k] (int64) and cosine similarities [n, k], negatives clamped to 0.

    Raises:
        UserError: ``fused`` without a CUDA device or without Triton.
    """
    k = min(num_neighbors, max(0, len(keys) - 1))
    columns, values = _SEARCHES[search](queries, keys, k, first_row)
    return columns, values.clamp_(min=0)


def _in_blocks(
    queries: Tensor, keys: Tensor, k: int, first_row: int, *, by_groups: bool
) -> tuple[Tensor, Tensor]:
    """A block of rows at once: their similarities to all keys, of which k are chosen."""
    num_rows, num_keys = queries.shape[0], keys.shape[0]
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
        if by_groups:
            values[start:stop], columns[start:stop] = largest(part, k)
        else:
            values[start:stop], columns[start:stop] = torch.topk(part, k, dim=1, sorted=False)
    return columns, values


def _by_faiss(queries: Tensor, keys: Tensor, k: int, first_row: int) -> tuple[Tensor, Tensor]:
    """k + 1 nearest by faiss on the CPU, or on its own GPU, less the row itself."""
    if not k:
        return _in_blocks(queries, keys, k, first_row, by_groups=False)
    import faiss

    rows, base = (np.ascontiguousarray(part.float().cpu().numpy()) for part in (queries, keys))
    if allows_cuda() and getattr(faiss, "get_num_gpus", int)():
        resources = faiss.StandardGpuResources()
        metric = faiss.METRIC_INNER_PRODUCT
        found, at = faiss.knn_gpu(resources, rows, base, k + 1, metric=metric)
    else:
        found, at = faiss.knn(rows, base, k + 1, faiss.METRIC_INNER_PRODUCT)
    values, columns = torch.as_tensor(found), torch.as_tensor(at)
    own = columns == first_row + torch.arange(len(rows))[:, None]
    own[~own.any(dim=1), -1] = True  # k + 1 others as near as itself: the last of them goes
    others = ~own
    columns, values = (part[others].view(len(rows), k) for part in (columns, values))
    return columns.to(keys.device), values.to(keys)


def _fused(queries: Tensor, keys: Tensor, k: int, first_row: int) -> tuple[Tensor, Tensor]:
    """Two passes of Triton, where there are many times k keys."""
    require_search("fused", keys.device)
    from raynef.graph.fused import fits, fused_neighbors

    if keys.dtype != torch.float32 or not fits(len(keys), k):
        return _in_blocks(queries, keys, k, first_row, by_groups=True)
    return fused_neighbors(queries, keys, k=k, first_row=first_row)


def _rounded(queries: Tensor, keys: Tensor, k: int, first_row: int) -> tuple[Tensor, Tensor]:
    """Candidates in bfloat16, scored again in float32."""
    from raynef.graph.rounded import rounded_neighbors

    blocks = partial(_in_blocks, by_groups=True)
    if keys.dtype != torch.float32:
        return blocks(queries, keys, k, first_row)
    return rounded_neighbors(queries, keys, k, first_row, otherwise=blocks)


def search_on(search: Search, device: torch.device, *, half: bool) -> Search:
    """What ``auto`` is on a device: ``bfloat16`` on a CPU with ``half``, which says that products
    in bfloat16 are wanted and native there."""
    if search != "auto":
        return search
    return "bfloat16" if half and device.type == "cpu" else "blocks"


def require_search(search: Search, device: torch.device) -> None:
    """Raise UserError: ``fused`` on a device that is not CUDA's, or without Triton."""
    if search != "fused":
        return
    try:
        from raynef.graph.fused import runs_on
    except ImportError as error:
        what = "graph.search fused needs Triton, which comes with torch for CUDA"
        raise UserError(f"{what}: {error}; use blocks") from error
    if not runs_on(device):
        raise UserError("graph.search fused needs a CUDA device; use blocks")


_SEARCHES: dict[Search, Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]]] = {
    "auto": partial(_in_blocks, by_groups=True),
    "blocks": partial(_in_blocks, by_groups=True),
    "topk": partial(_in_blocks, by_groups=False),
    "faiss": _by_faiss,
    "bfloat16": _rounded,
    "fused": _fused,
}


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
