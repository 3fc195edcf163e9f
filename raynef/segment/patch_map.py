"""Patch logits of an image, and how they become its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raynef.segment.upsample import upsample_argmax
from raynef.segment.windows import Windows


@dataclass(frozen=True)
class PatchMap:
    """What a segmenter says of one image, before it is upsampled.

    Attributes:
        logits: of the windows, side by side as they lie, [Σh, Σw, K].
        windows: into which the image was cut.
        grid: (h, w) of one window's logits.
        cell: (height, width) of a patch, in pixels of the image as it was seen.
    """

    logits: Tensor
    windows: Windows
    grid: tuple[int, int]
    cell: tuple[float, float]

    def matrices(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """R [H, Σh] and C [W, Σw] for a map of ``size`` = (H, W); see ``Windows``."""
        return self.windows.matrices(self.grid, size, cell=self.cell)


def cluster_maps(maps: Sequence[PatchMap], size: tuple[int, int]) -> np.ndarray:
    """The cluster of each pixel of images that were cut alike, uint16 [B, *size]."""
    rows, columns = maps[0].matrices(size)
    logits = torch.stack([found.logits for found in maps])
    return upsample_argmax(logits, rows, columns).cpu().numpy().astype(np.uint16)
