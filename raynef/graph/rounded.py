"""The search of ``knn`` by products in bfloat16, which choose candidates that float32 scores again.

Processors that multiply in bfloat16 do so at about twice their rate in float32. What is found is
the same, since a bound says how far a rounded similarity is from the true one:

    x = x̂ + r, x̂ in bfloat16:   |x·y - x̂·ŷ| <= ‖r_x‖‖y‖ + ‖x̂‖‖r_y‖           (Cauchy-Schwarz)
    v = x̂·ŷ in bfloat16:        |v - x̂·ŷ|   <= 2⁻⁸ |v| (1 + 2⁻⁶)             (its last bit)

Let the k-th largest v of a row be at least t. Then k patches have similarities of at least
s = t - 2⁻⁸ t - a, with a the first bound, and each of the k nearest has one, so that its
v >= (s - a)(1 - 2⁻⁸): these are the candidates, of a ViT's features fewer than twice k. t comes
from maxima of groups of columns: k groups whose maximum is at least t hold k such patches.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from raynef.core.kernel import csr
from raynef.core.typed import norm, sampled_product

_BLOCK_ELEMENTS = 1 << 23  # similarities held at once: 16 MB of bfloat16
_GROUPS = 3  # groups of columns at least, for each neighbor: fewer let more candidates through
_MOST = 4  # candidates for each neighbor; where there are more, float32 is quicker from the start
_LAST_BIT = 2**-8 * (1 + 2**-6)  # relative error of rounding to bfloat16, of the rounded value
_SUMS = 2**-23  # for each feature: rounding of sums in float32, of both products

Otherwise = Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]]


def rounded_neighbors(
    queries: Tensor, keys: Tensor, k: int, first_row: int, *, otherwise: Otherwise
) -> tuple[Tensor, Tensor]:
    """The k largest similarities of each row, unordered; see ``nearest_neighbors``.

    Args:
        queries: unit rows, float32 [n, D]: rows ``first_row``… of the keys.
        keys: unit rows, float32 [N, D].
        k: neighbors.
        otherwise: a search in float32, with the same arguments, for rows whose k nearest do not
            all have a similarity above 0, or that have too many candidates.

    Returns:
        Columns, int64 [n, k], and cosine similarities, float32 [n, k].
    """
    group = _group(len(keys), k)
    if group < 2 or not len(queries):
        return otherwise(queries, keys, k, first_row)
    small, own = keys.bfloat16(), queries.bfloat16()
    bound = _bound(queries, own, keys, small)
    width = -(-len(keys) // group) * group
    block = max(1, min(len(queries), _BLOCK_ELEMENTS // width))
    # What is no key, or the row itself, is below every threshold.
    similarity = torch.full((block, width), -1.0, dtype=torch.bfloat16, device=keys.device)
    found: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(queries), block):
        stop = min(start + block, len(queries))
        rough = similarity[: stop - start]
        torch.mm(own[start:stop], small.T, out=rough[:, : len(keys)])
        rows = torch.arange(stop - start, device=keys.device)
        rough[rows, rows + start + first_row] = -1.0
        part = queries[start:stop]
        chosen = _candidates(rough, k, group, bound[start:stop])
        if chosen is None:
            found.append(otherwise(part, keys, k, first_row + start))
        else:
            found.append(_scored(part, keys, k, *chosen))
    return torch.cat([at for at, _ in found]), torch.cat([values for _, values in found])


def _group(num_keys: int, k: int) -> int:
    """Columns of a group, a power of two; below 2 where there are few times k."""
    size = 1
    while k and 2 * size * _GROUPS * k <= num_keys:
        size *= 2
    return size


def _bound(queries: Tensor, own: Tensor, keys: Tensor, small: Tensor) -> Tensor:
    """a of each row: how far products of rounded rows may be from those of the rows, [n]."""
    lost, kept = norm(queries - own.float(), 1), norm(own.float(), 1)
    bound = lost * norm(keys, 1).max() + kept * norm(keys - small.float(), 1).max()
    return bound * (1 + 2**-10) + queries.shape[1] * _SUMS


def _candidates(rough: Tensor, k: int, group: int, bound: Tensor) -> tuple[Tensor, Tensor] | None:
    """The columns of each row that may be among its k nearest, and where each row's begin.

    Bits of bfloat16 above 0 are ordered as 16-bit integers, which compare at twice the speed; all
    below 0 are less than these. None where a threshold is not above 0, or they are too many.
    """
    num_rows, width = rough.shape
    codes = rough.view(torch.int16)
    # Group j holds columns j, j + W/group, …: maxima are then taken along whole vectors.
    maxima = codes.view(num_rows, group, width // group).amax(dim=1).view(torch.bfloat16)
    reached = torch.topk(maxima.float(), k, dim=1, sorted=False).values.amin(dim=1)
    nearest = reached * (1 - _LAST_BIT) - bound
    threshold = (nearest - bound) * (1 - _LAST_BIT)
    if not bool((threshold > 0).all()):
        return None
    code = (threshold.view(torch.int32) >> 16).to(torch.int16)  # bfloat16, rounded down
    at = (codes >= code[:, None]).view(-1).nonzero().view(-1)
    if len(at) > _MOST * k * num_rows:
        return None
    begins = torch.arange(num_rows + 1, device=at.device) * width
    starts = torch.searchsorted(at, begins)
    return at - torch.repeat_interleave(begins[:-1], starts.diff()), starts


def _scored(
    queries: Tensor, keys: Tensor, k: int, columns: Tensor, starts: Tensor
) -> tuple[Tensor, Tensor]:
    """The k nearest of each row's candidates by products in float32."""
    num_rows, counts = len(queries), starts.diff()
    pairs = csr(starts, columns, queries.new_zeros(len(columns)), (num_rows, len(keys)))
    values = sampled_product(pairs, queries, keys.T, beta=0.0).values()
    # Rows of one length, to choose from all at once.
    longest = int(counts.max())
    begins = torch.arange(num_rows, device=columns.device) * longest
    places = torch.arange(len(columns), device=columns.device)
    places += torch.repeat_interleave(begins - starts[:-1], counts)
    rows = values.new_full((num_rows * longest,), -torch.inf)
    rows[places] = values
    top = torch.topk(rows.view(num_rows, longest), k, dim=1, sorted=False)
    return columns[top.indices + starts[:-1, None]], top.values
