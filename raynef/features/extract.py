"""From pixels to the feature record of a batch: taps, thumbnails and which patches are real."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from raynef.core.devices import beside
from raynef.features.backbone import Backbone
from raynef.features.precision import Precision, computing_in


@dataclass(frozen=True)
class Features:
    """What the graph and ψ see of some images."""

    taps: Tensor  # [B, T, h·w, D], row-major over the grid; the last tap makes the graph
    thumbnails: Tensor  # the images at the size of the grid, [B, h, w, 3] in [0, 1]
    valid: Tensor  # False where a patch holds padding, [B, h, w]

    def pinned(self) -> "Features":
        """The same in memory from which a GPU copies while the host goes on. Needs CUDA."""
        return Features(*(part.pin_memory() for part in vars(self).values()))


def extract_features(
    backbone: Backbone,
    pixels: np.ndarray,
    extents: np.ndarray | None = None,
    *,
    precision: Precision = "float32",
) -> Features:
    """Run the backbone on uint8 pixels [B, H, W, 3], H and W multiples of the patch size.

    Args:
        pixels: the image at the top left of each crop; what follows repeats its edge.
        extents: (height, width) of each image within its crop, [B, 2]; all of it if None. The
            backbone sees zeros (its mean) beyond, and patches with a pixel beyond are not valid.
        precision: in which the backbone computes.
    """
    device = next(backbone.parameters()).device
    host = beside(device)
    batch, height, width, _ = pixels.shape
    grid = (height // backbone.patch_size, width // backbone.patch_size)
    unit = torch.tensor(pixels, device=host).permute(0, 3, 1, 2) / 255.0
    thumbnails = functional.interpolate(unit, size=grid, mode="bilinear", antialias=True)
    mean = torch.tensor(backbone.mean, device=host)[:, None, None]
    std = torch.tensor(backbone.std, device=host)[:, None, None]
    images = (unit - mean) / std
    if extents is None:
        extents = np.full((batch, 2), (height, width))
    limits = torch.tensor(np.asarray(extents), device=host)
    for image, (rows, columns) in zip(images, extents, strict=True):
        image[:, int(rows) :] = 0
        image[:, :, int(columns) :] = 0
    inside = limits // backbone.patch_size  # whole patches down and across
    down = torch.arange(grid[0], device=host)[None, :] < inside[:, :1]
    across = torch.arange(grid[1], device=host)[None, :] < inside[:, 1:]
    with computing_in(precision, device):
        taps = backbone(images.to(device))
    return Features(
        taps=taps,
        thumbnails=thumbnails.clamp(0, 1).permute(0, 2, 3, 1),
        valid=down[:, :, None] & across[:, None, :],
    )
