"""The pixel graph of Eq. 3: within each image, patches of like color and place."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from raynef.core.typed import unique

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

    The union of k-nearest-neighbor graphs of (r, g, b, w·x, w·y), one for each (k, w), no patch
    its own neighbor, made symmetric by OR, every weight 1; k is capped at an image's valid patches
    less 1.

    Args:
        thumbnails: images at the size of the patch grid, [B, h, w, 3] in [0, 1].
        valid: False where a patch holds padding, [B, h, w]; such patches have no row.

    Returns:
        Rows and columns of the edges, int64, sorted by row, then column.
    """
    place = coordinates(thumbnails.shape[1], thumbnails.shape[2], thumbnails)
    none = torch.empty(0, dtype=torch.int64, device=thumbnails.device)
    rows, columns, first = [none], [none], 0
    for image, keep in zip(thumbnails, valid, strict=True):
        color, where = image[keep], place[keep]
        size = color.shape[0]
        edges = torch.cat([none, *_nearest_codes(color, where, pixel_neighbors)])
        one_way = (edges // max(1, size), edges % max(1, size))
        both = unique(torch.cat((edges, one_way[1] * size + one_way[0])))
        rows.append(both // max(1, size) + first)
        columns.append(both % max(1, size) + first)
        first += size
    return torch.cat(rows), torch.cat(columns)


def _nearest_codes(
    color: Tensor, where: Tensor, pixel_neighbors: Sequence[tuple[int, float]]
) -> Iterator[Tensor]:
    """Directed nearest edges of m patches, as codes row·m + column, for each (k, w).

    Squared distances are those of the colors plus w² times those of the places.
    """
    size = color.shape[0]
    block = max(1, _BLOCK_ELEMENTS // max(1, size))
    for start in range(0, size if size > 1 else 0, block):
        own = torch.arange(start, min(start + block, size), device=color.device)
        of_color, of_place = _squared_distances(color, own), _squared_distances(where, own)
        of_color[own - start, own] = torch.inf
        for k, weight in pixel_neighbors:
            distance = torch.add(of_color, of_place, alpha=weight**2)
            top = torch.topk(distance, min(k, size - 1), dim=1, largest=False, sorted=False)
            yield (own[:, None] * size + top.indices).flatten()


def _squared_distances(points: Tensor, own: Tensor) -> Tensor:
    """|p_i - p_j|² of the rows ``own`` to all, by differences: |p|² + |q|² - 2pq would lose the
    digits that tell near neighbors apart. [m, channels] -> [len(own), m]."""
    distance = torch.zeros((len(own), len(points)), dtype=points.dtype, device=points.device)
    for channel in points.T.contiguous():
        distance += (channel[own][:, None] - channel[None, :]).square_()
    return distance
