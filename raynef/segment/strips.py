"""Windows of an image that is too large to hold the logits of: a row of windows at a time."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raynef.segment.upsample import upsample_argmax
from raynef.segment.windows import Windows, average_part

_COLUMNS = 512  # pixels of a row that are upsampled at once


@dataclass(frozen=True)
class WindowRows:
    """The windows of an image, and how their patch logits lie.

    Attributes:
        windows: of the image.
        grid: (h, w) of one window's logits.
        cell: (height, width) of a patch, in pixels.
    """

    windows: Windows
    grid: tuple[int, int]
    cell: tuple[float, float]

    def clusters(self, logits: Mapping[int, Tensor], rows: range) -> np.ndarray:
        """The cluster of each pixel of some rows of the image, uint16 [len(rows), W].

        The same as ``cluster_maps`` of the whole image gives for them, but for ties.

        Args:
            logits: {row of windows: logits of its windows side by side, [h, Σw, K]}, of all rows of
                windows that cover the pixels.
            rows: of pixels.
        """
        height, width = self.windows.window
        covering, down = average_part(
            self.windows.tops, height, self.grid[0], cell=self.cell[0], pixels=rows
        )
        joined = torch.cat([logits[index] for index in covering])
        found = np.empty((len(rows), self.windows.image[1]), np.uint16)
        for start in range(0, found.shape[1], _COLUMNS):
            pixels = range(start, min(start + _COLUMNS, found.shape[1]))
            windows, across = average_part(
                self.windows.lefts, width, self.grid[1], cell=self.cell[1], pixels=pixels
            )
            near = joined[:, windows.start * self.grid[1] : windows.stop * self.grid[1]]
            part = upsample_argmax(near[None], down, across)[0]
            found[:, start : pixels.stop] = part.cpu().numpy()
        return found
