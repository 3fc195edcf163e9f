"""The pixel graph of Eq. 3: within each image, patches of like colour and place."""

from collections.abc import Sequence

import torch
from torch import Tensor

_BLOCK_ELEMENTS = 1 << 22  # distances held at once


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

    The union of k-nearest-neighbour graphs of (r, g, b, w·x, w·y), one for each (k, w), no patch
    its own neighbour, made symmetric by OR, every weight 1.

    Args:
        thumbnails: images at the size of the patch grid, [B, h, w, 3] in [0, 1].
        pixel_neighbors: pairs (k, w) of a neighbour count and a distance weight; k is capped at
            the number of an image's valid patches less 1.
        valid: False where a patch holds padding, [B, h, w]; such patches have no row.

    Returns:
        Rows and columns of the edges, two int64 vectors sorted by row, then column; indices count
        the valid patches of ``thumbnails``.
    """
    device = thumbnails.device
    place = coordinates(thumbnails.shape[1], thumbnails.shape[2], thumbnails)
    rows, columns, first = [], [], 0
    for image, keep in zip(thumbnails, valid, strict=True):
        colour, where = image[keep], place[keep]
        size = colour.shape[0]
        codes = [
            _nearest_codes(torch.cat((colour, weight * where), dim=1), min(k, size - 1))
            for k, weight in pixel_neighbors
            if size > 1
        ]
        edges = torch.cat(codes) if codes else torch.empty(0, dtype=torch.int64, device=device)
        one_way = (edges // max(1, size), edges % max(1, size))
        both = torch.unique(torch.cat((edges, one_way[1] * size + one_way[0])))
        rows.append(both // max(1, size) + first)
        columns.append(both % max(1, size) + first)
        first += size
    if not rows:
        return (torch.empty(0, dtype=torch.int64, device=device),) * 2
    return torch.cat(rows), torch.cat(columns)


def _nearest_codes(points: Tensor, k: int) -> Tensor:
    """Directed k-nearest edges of [m, 5] points, as codes row·m + column, [m·k]."""
    size = points.shape[0]
    block = max(1, _BLOCK_ELEMENTS // size)
    codes = []
    for start in range(0, size, block):
        stop = min(start + block, size)
        # Differences, not the expansion |a|² + |b|² - 2ab: near neighbours need the digits.
        distance = torch.zeros((stop - start, size), dtype=points.dtype, device=points.device)
        for channel in points.T:
            distance += (channel[start:stop, None] - channel[None, :]).square_()
        own = torch.arange(start, stop, device=points.device)
        distance[own - start, own] = torch.inf
        nearest = torch.topk(distance, k, dim=1, largest=False, sorted=False).indices
        codes.append((own[:, None] * size + nearest).flatten())
    return torch.cat(codes)
