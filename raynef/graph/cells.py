"""Means of neighboring patches: a coarser grid, of fewer and smoother nodes."""

import torch
from torch import Tensor
from torch.nn import functional


def pooled(rows: Tensor, valid: Tensor, grid: tuple[int, int], side: int) -> tuple[Tensor, Tensor]:
    """Means over squares of ``side`` × ``side`` patches, of those that are valid.

    Args:
        rows: [B, h·w, D].
        valid: False on padding, [B, h·w].
        grid: (h, w); a square at the right or lower edge may hold fewer patches.
        side: 1 leaves all as it is.

    Returns:
        Rows [B, n, D], n = ⌈h/side⌉·⌈w/side⌉, and which hold a valid patch [B, n].
    """
    if side == 1:
        return rows, valid
    below, right = (-size % side for size in grid)
    counted = torch.cat((rows * valid[..., None], valid[..., None].to(rows)), dim=-1)
    image = counted.view(len(rows), *grid, counted.shape[-1])
    image = functional.pad(image, (0, 0, 0, right, 0, below))
    batch, height, width, channels = image.shape
    squares = image.view(batch, height // side, side, width // side, side, channels)
    sums = squares.sum(dim=(2, 4)).flatten(1, 2)
    counts = sums[..., -1]
    return sums[..., :-1] / counts.clamp(min=1)[..., None], counts > 0
