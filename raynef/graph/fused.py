"""The search of ``knn`` on a CUDA device as two passes that never write a block of similarities.

``knn`` writes similarities to memory and reads them again to choose the largest; a GPU then waits
for its memory. Here, in Triton, a tile of similarities lives in registers alone and is made twice:

1. the maximum of each group of 8 columns is kept, N/8 values a row. The k-th largest of a row is
   its threshold: k groups reach it, so at least k columns do.
2. the columns above the threshold are written, at most 8·(k - 1) of a row, since fewer than k
   groups hold one, and of those that equal it the first k.

``topk`` of these few is the result: exactly the k largest, in float32. ``TRITON_INTERPRET=1`` runs
the same code on a CPU, slowly, which is how it is tested without a GPU.
"""

# pyright: basic, reportArgumentType=false
# Kernels have no types that Python's know.

import os

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS, _COLUMNS, _FEATURES = 32, 128, 32
"""A tile, and how many features of it are multiplied at once."""
_GROUP = 8
SIZES = {"ROWS": _ROWS, "COLUMNS": _COLUMNS, "FEATURES": _FEATURES, "GROUP": _GROUP}
"""What both kernels are compiled for."""
_GROUPS = _COLUMNS // _GROUP
"""Of a tile: group g holds columns g, g + 16, … of it."""
_BLOCK_ELEMENTS = 1 << 26  # maxima and candidates held at once


def runs_on(device: torch.device) -> bool:
    """Whether the kernels run there: on CUDA, or anywhere by Triton's interpreter."""
    return device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


def fits(num_keys: int, k: int) -> bool:
    """Whether there are k groups of columns that surely hold another patch than the row's own."""
    return 0 < k < (num_keys // _COLUMNS) * _GROUPS


def fused_neighbors(
    queries: Tensor, keys: Tensor, *, k: int, first_row: int
) -> tuple[Tensor, Tensor]:
    """The k largest similarities of each row, unordered; see ``nearest_neighbors``.

    Args:
        queries: unit rows, float32 [n, D] on a CUDA device: rows ``first_row``… of the keys.
        keys: unit rows, float32 [N, D].
        k: neighbors, for which ``fits(N, k)``.

    Returns:
        Columns, int64 [n, k], and cosine similarities, float32 [n, k].
    """
    queries, keys = queries.contiguous(), keys.contiguous()
    num_rows, held = len(queries), k * (_GROUP + 1)
    num_groups = triton.cdiv(len(keys), _COLUMNS) * _GROUPS
    block = max(_ROWS, _BLOCK_ELEMENTS // (num_groups + 2 * held))
    columns = torch.empty((num_rows, k), dtype=torch.int64, device=keys.device)
    values = torch.empty((num_rows, k), dtype=torch.float32, device=keys.device)
    for start in range(0, num_rows, block):
        rows = queries[start : start + block]
        shape = (rows, keys, len(rows), len(keys), keys.shape[1], first_row + start)
        tiles = triton.cdiv(len(rows), _ROWS), triton.cdiv(len(keys), _COLUMNS)
        maxima = keys.new_empty((len(rows), num_groups))
        _group_maxima[tiles](*shape, maxima, num_groups, **SIZES)
        threshold = torch.topk(maxima, k, dim=1, sorted=False).values.amin(dim=1)
        found = keys.new_full((len(rows), held), -torch.inf)
        at = torch.zeros((len(rows), held), dtype=torch.int32, device=keys.device)
        _reaching[tiles[:1]](*shape, threshold, found, at, k, held, **SIZES)
        top = torch.topk(found, k, dim=1, sorted=False)
        values[start : start + block] = top.values
        columns[start : start + block] = at.gather(1, top.indices).long()
    return columns, values


@triton.jit
def _similarities(
    queries,
    keys,
    num_rows,
    num_keys,
    dim,
    first_row,
    rows,
    columns,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    FEATURES: tl.constexpr,
):
    """A tile [ROWS, COLUMNS] of q·k; -inf of a patch with itself and beyond the last key."""
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, dim, FEATURES):
        at = start + tl.arange(0, FEATURES)
        q = tl.load(
            queries + rows[:, None].to(tl.int64) * dim + at[None, :],
            mask=(rows[:, None] < num_rows) & (at[None, :] < dim),
            other=0.0,
        )
        k = tl.load(
            keys + columns[None, :].to(tl.int64) * dim + at[:, None],
            mask=(columns[None, :] < num_keys) & (at[:, None] < dim),
            other=0.0,
        )
        total = tl.dot(q, k, total, input_precision="ieee")
    others = (columns[None, :] < num_keys) & (columns[None, :] != rows[:, None] + first_row)
    return tl.where(others, total, -float("inf"))


@triton.jit
def _group_maxima(
    queries,
    keys,
    num_rows,
    num_keys,
    dim,
    first_row,
    maxima,
    num_groups,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    FEATURES: tl.constexpr,
    GROUP: tl.constexpr,
):
    """The first pass: of each tile the maxima of its groups."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    tile = _similarities(
        queries, keys, num_rows, num_keys, dim, first_row, rows, columns, ROWS, COLUMNS, FEATURES
    )
    largest = tl.max(tl.reshape(tile, (ROWS, GROUP, COLUMNS // GROUP)), axis=1)
    groups = tl.program_id(1) * (COLUMNS // GROUP) + tl.arange(0, COLUMNS // GROUP)
    tl.store(
        maxima + rows[:, None].to(tl.int64) * num_groups + groups[None, :],
        largest,
        mask=rows[:, None] < num_rows,
    )


@triton.jit
def _reaching(
    queries,
    keys,
    num_rows,
    num_keys,
    dim,
    first_row,
    threshold,
    found,
    at,
    k,
    held,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    FEATURES: tl.constexpr,
    GROUP: tl.constexpr,
):
    """The second pass: all columns above each row's threshold, then the first k that equal it.

    One program goes over all tiles of its rows, from left to right, so that the result is the same
    each time.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = rows < num_rows
    limit = tl.load(threshold + rows, mask=there, other=float("inf"))
    place = rows[:, None].to(tl.int64) * held
    num_above = tl.zeros((ROWS,), dtype=tl.int32)
    num_equal = tl.zeros((ROWS,), dtype=tl.int32)
    for start in range(0, num_keys, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        tile = _similarities(
            queries,
            keys,
            num_rows,
            num_keys,
            dim,
            first_row,
            rows,
            columns,
            ROWS,
            COLUMNS,
            FEATURES,
        )
        above = (tile > limit[:, None]) & there[:, None]
        equal = (tile == limit[:, None]) & there[:, None]
        above_at = num_above[:, None] + tl.cumsum(above.to(tl.int32), axis=1) - 1
        equal_at = num_equal[:, None] + tl.cumsum(equal.to(tl.int32), axis=1) - 1
        kept = equal & (equal_at < k)
        slot = tl.where(above, above_at, k * GROUP + equal_at)
        written = above | kept
        ids = tl.broadcast_to(columns[None, :], (ROWS, COLUMNS))
        tl.store(found + place + slot, tile, mask=written)
        tl.store(at + place + slot, ids, mask=written)
        num_above += tl.sum(above.to(tl.int32), axis=1)
        num_equal += tl.sum(equal.to(tl.int32), axis=1)
