"""Patch logits to a cluster map: bilinear upsampling, then argmax, in bands of rows."""

import torch
from torch import Tensor

_BAND_ELEMENTS = 1 << 24  # upsampled logits held at once: 64 MB of float32


def interpolation_matrix(
    num_out: int, num_in: int, *, cell: float, device: torch.device | None = None
) -> Tensor:
    """Bilinear weights [num_out, num_in] between centres, constant beyond the outermost centres.

    Args:
        num_out: samples, at (i + ½)·cell in units of one input cell.
        num_in: input cells.
        cell: size of an output sample in input cells, such as 1/16 for 16 pixels a patch.
    """
    at = (torch.arange(num_out, device=device, dtype=torch.float64) + 0.5) * cell - 0.5
    at = at.clamp(0, num_in - 1)
    low = at.floor().long().clamp(max=max(0, num_in - 2))
    weights = torch.zeros((num_out, num_in), dtype=torch.float64, device=device)
    rows = torch.arange(num_out, device=device)
    fraction = at - low
    weights[rows, low] = 1 - fraction
    if num_in > 1:
        weights[rows, low + 1] = fraction
    return weights.float()


def upsample_argmax(
    logits: Tensor, size: tuple[int, int], cells: tuple[float, float] | None = None
) -> Tensor:
    """Upsample logits bilinearly to ``size`` = (H, W) pixels and take the largest.

    The same as interpolating all K maps and taking argmax, in bands of rows: memory stays bounded.

    Args:
        logits: [h, w, K].
        size: (H, W) of the cluster map.
        cells: (height, width) of a pixel in grid cells; (h/H, w/W) if None, other where the grid
            reaches beyond the image.

    Returns:
        Cluster of each pixel, int64 [H, W].
    """
    grid_h, grid_w, num_clusters = logits.shape
    height, width = size
    cells = cells or (grid_h / height, grid_w / width)
    rows = interpolation_matrix(height, grid_h, cell=cells[0], device=logits.device)
    columns = interpolation_matrix(width, grid_w, cell=cells[1], device=logits.device)
    # Across first: [h, W, K], small; then each band of output rows mixes a few of its rows.
    across = torch.einsum("xw,hwk->hxk", columns, logits.float()).reshape(grid_h, -1)
    band = max(1, _BAND_ELEMENTS // (width * num_clusters))
    clusters = torch.empty(size, dtype=torch.int64, device=logits.device)
    for start in range(0, height, band):
        mixed = rows[start : start + band] @ across
        clusters[start : start + band] = mixed.view(-1, width, num_clusters).argmax(dim=-1)
    return clusters
