"""Patch logits to a cluster map: bilinear upsampling and argmax, of the clusters that can win.

Whatever the protocol, pixel logits are R·L·Cᵀ: L holds the patch logits, and the rows of R and C
are weights ≥ 0 that sum to 1. Within a block of pixels that see the same few patches, every pixel
logit lies between the least and the largest of its cluster at those patches. A cluster whose
largest stays below another's least wins nowhere in the block, and is not interpolated there: of
256 clusters a handful is left.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_CHUNK_ELEMENTS = 1 << 20  # upsampled logits held at once: 4 MB of float32, within a cache


def interpolation_matrix(num_out: int, num_in: int, *, cell: float) -> Tensor:
    """Bilinear weights [num_out, num_in] between centers, constant beyond the outermost centers.

    Samples lie at (i + ½)·cell in units of one input cell: ``cell`` is the size of an output sample
    in input cells, such as 1/16 for 16 pixels a patch.
    """
    at = (torch.arange(num_out, dtype=torch.float64) + 0.5) * cell - 0.5
    at = at.clamp(0, num_in - 1)
    low = at.floor().long().clamp(max=max(0, num_in - 2))
    weights = torch.zeros((num_out, num_in), dtype=torch.float64)
    rows = torch.arange(num_out)
    fraction = at - low
    weights[rows, low] = 1 - fraction
    if num_in > 1:
        weights[rows, low + 1] = fraction
    return weights.float()


def upsample_argmax(logits: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The largest of the upsampled logits L [B, h, w, K], int64 [B, H, W].

    The same as the argmax of R·L·Cᵀ over all K maps, but for ties, in bounded memory. Rows R [H, h]
    and columns C [W, w] are weights as in this module's head.
    """
    down, across = _blocks(rows, logits.device), _blocks(columns, logits.device)
    return torch.stack([_argmax(image.float(), down, across) for image in logits])


@dataclass(frozen=True)
class _Blocks:
    """The pixels of one axis in n blocks of at most p neighbors that see at most s patches."""

    patches: Tensor  # that a block sees, [n, s]; repeated where there are fewer
    weights: Tensor  # of the pixels on those patches, [n, p, s]
    pixels: Tensor  # of each block, [n, p]; its last pixel is repeated where there are fewer


def _blocks(matrix: Tensor, device: torch.device) -> _Blocks:
    """Greedy: a block ends where one more pixel would see more patches than any pixel alone."""
    seen = [set(row.nonzero()[0].tolist()) for row in matrix.numpy() != 0]
    most = max(map(len, seen))
    longest = -(-matrix.shape[0] // matrix.shape[1])
    starts, sees = [0], [seen[0]]
    for pixel, patches in enumerate(seen[1:], start=1):
        if len(sees[-1] | patches) > most or pixel - starts[-1] >= longest:
            starts.append(pixel)
            sees.append(patches)
        else:
            sees[-1] = sees[-1] | patches
    first = torch.tensor(starts)[:, None]
    last = torch.tensor([*starts[1:], len(seen)])[:, None] - 1
    size = int((last - first).max()) + 1
    pixels = (first + torch.arange(size)).minimum(last)
    filled = [sorted(patches) + [max(patches)] * (most - len(patches)) for patches in sees]
    patches = torch.tensor(filled)
    repeated = patches.diff(dim=1, prepend=patches[:, :1] - 1) == 0
    weights = matrix[pixels[:, :, None], patches[:, None, :]] * ~repeated[:, None, :]
    return _Blocks(patches.to(device), weights.to(device), pixels.to(device))


def _argmax(logits: Tensor, down: _Blocks, across: _Blocks) -> Tensor:
    """One image: [h, w, K] -> [H, W]."""
    num_clusters = logits.shape[-1]
    grid = (len(down.patches), len(across.patches))
    size = (down.pixels.shape[1], across.pixels.shape[1])
    near = logits[down.patches]  # [n, s, w, K]
    high = near.amax(dim=1)[:, across.patches].amax(dim=2).flatten(0, 1)
    low = near.amin(dim=1)[:, across.patches].amin(dim=2).flatten(0, 1)
    can_win = high >= low.amax(dim=-1, keepdim=True)  # [blocks, K]
    sums, order = can_win.sum(dim=-1).sort()
    counts = sums.cpu().numpy().tolist()
    clusters = torch.empty((len(order), *size), dtype=torch.int64, device=logits.device)
    for start, end, count in _groups(counts, num_clusters, size[0] * size[1]):
        block = order[start:end]
        # Blocks with fewer than ``count`` are filled up with clusters that cannot win.
        rivals = can_win[block].byte().topk(count, dim=-1).indices
        i, j = block // grid[1], block % grid[1]
        corners = logits[
            down.patches[i][:, :, None, None],
            across.patches[j][:, None, :, None],
            rivals[:, None, None, :],
        ]  # [b, s, t, count]
        mixed = torch.bmm(down.weights[i], corners.flatten(2)).view(-1, size[0], *corners.shape[2:])
        pixels = across.weights[j][:, None] @ mixed  # [b, p, q, count]
        best = pixels.argmax(dim=-1).flatten(1)
        clusters[block] = rivals.gather(1, best).view(-1, *size)
    result = clusters.new_empty(int(down.pixels.max()) + 1, int(across.pixels.max()) + 1)
    at = (down.pixels[:, None, :, None], across.pixels[None, :, None, :])
    result[at] = clusters.view(*grid, *size)
    return result


def _groups(counts: list[int], num_clusters: int, area: int) -> Iterator[tuple[int, int, int]]:
    """Split ascending counts into (start, end, count): blocks of about as many rivals each."""
    start = 0
    while start < len(counts):
        # Up to half as many again as the first: little is interpolated in vain, in few groups.
        count = max(1, min(num_clusters, counts[start] + counts[start] // 2))
        most = max(1, _CHUNK_ELEMENTS // (count * area))
        end = start
        while end < len(counts) and counts[end] <= count and end - start < most:
            end += 1
        yield start, end, max(1, counts[end - 1])
        start = end
