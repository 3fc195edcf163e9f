"""The pixel graph of Eq. 3: within each image, patches of like color and place."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from raynef.core.typed import unique

_BLOCK_ELEMENTS = 1 << 20  # distances held at once: 4 MB of float32, as caches hold them


def coordinates(height: int, width: int, like: Tensor) -> Tensor:
    """x = j/(w-1), y = i/(h-1), 0 where a side is 1. Returns [h, w, 2] in [0, 1]."""

    def side(length: int) -> Tensor:
        return torch.arange(length, dtype=like.dtype, device=like.device) / max(1, length - 1)

    rows, columns = torch.meshgrid(side(height), side(width), indexing="ij")
    return torch.stack((columns, rows), dim=-1)


def pixel_edges(
    thumbnails: Tensor, pixel_neighbors: Sequence[tuple[int, float]], valid: Tensor
) -> tuple[Tensor, Tensor]:
    """The symmetric adjacency of Eq. 3 over the valid patches of some images.

    The union of k-nearest-neighbor graphs of (r, g, b, w·x, w·y), one for each (k, w), no patch
    its own neighbor, made symmetric by OR, every weight 1; k is capped at an image's valid patches
    less 1.

    Args:
        thumbnails: images at the size of the patch grid, [B, h, w, 3] in [0, 1].
        valid: False where a patch holds padding, [B, h, w]; such patches have no row.

    Returns:
        Rows and columns of the edges, int64, sorted by row, then column.
    """
    size = thumbnails.shape[1] * thumbnails.shape[2]
    parts = zip(*_nearest_codes(thumbnails, pixel_neighbors, valid), strict=True)
    codes, real = (torch.cat(part) for part in parts)
    edges = codes[real]
    rows, columns = edges.div(size, rounding_mode="floor"), edges % size
    # Back from a column to its row: the code of the other direction.
    back = (rows - rows % size + columns) * size + rows % size
    both = unique(torch.cat((edges, back)))
    row_of = valid.flatten().cumsum(0) - 1  # of each patch among the valid ones
    rows = both.div(size, rounding_mode="floor")
    return row_of[rows], row_of[rows - rows % size + both % size]


def _nearest_codes(
    thumbnails: Tensor, pixel_neighbors: Sequence[tuple[int, float]], valid: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Directed nearest edges as codes (image·h·w + patch)·h·w + other patch, for each (k, w), and
    which of them are real: a patch may have fewer than k others.

    Squared distances are those of the colors plus w² times those of the places. They are taken for
    as many images at once as a block holds, or for some rows of one.
    """
    images, height, width, _ = thumbnails.shape
    size = height * width
    colors, there = thumbnails.flatten(1, 2), valid.flatten(1)
    place = coordinates(height, width, thumbnails).flatten(0, 1)[None]
    at_once = max(1, _BLOCK_ELEMENTS // max(1, size * size))
    block = max(1, min(size, _BLOCK_ELEMENTS // max(1, size)))
    none = torch.empty(0, dtype=torch.int64, device=thumbnails.device)
    yield none, none.bool()
    for first in range(0, images if size > 1 else 0, at_once):
        color, keep = colors[first : first + at_once], there[first : first + at_once]
        for start in range(0, size, block):
            own = torch.arange(start, min(start + block, size), device=color.device)
            of_color = _squared_distances(color, own)
            of_color.masked_fill_(~keep[:, None, :], torch.inf)
            of_color[:, own - start, own] = torch.inf
            of_place = _squared_distances(place, own)
            image = torch.arange(first, first + len(color), device=color.device)
            row = image[:, None] * size + own  # [images, rows]
            for k, weight in pixel_neighbors:
                distance = torch.add(of_color, of_place, alpha=weight**2)
                top = torch.topk(distance, min(k, size - 1), dim=2, largest=False, sorted=False)
                real = top.values.isfinite() & keep[:, own, None]
                yield (row[..., None] * size + top.indices).flatten(), real.flatten()


def _squared_distances(points: Tensor, own: Tensor) -> Tensor:
    """|p_i - p_j|² of the rows ``own`` to all, by differences: |p|² + |q|² - 2pq would lose the
    digits that tell near neighbors apart. [B, m, channels] -> [B, len(own), m]."""
    shape = (len(points), len(own), points.shape[1])
    distance = torch.zeros(shape, dtype=points.dtype, device=points.device)
    for channel in points.unbind(2):
        distance += (channel[:, own, None] - channel[:, None, :]).square_()
    return distance
