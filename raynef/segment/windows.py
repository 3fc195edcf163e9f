"""How an image is cut into windows, and how the windows' patch logits become its pixels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raynef.segment.upsample import interpolation_matrix


@dataclass(frozen=True)
class Windows:
    """The windows of one image, all of one size; one that covers the image is a whole pass."""

    image: tuple[int, int]  # (H, W), in pixels
    window: tuple[int, int]  # (height, width), at most the image's
    tops: tuple[int, ...]  # where windows start; every pair is one
    lefts: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.tops) * len(self.lefts)

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """[H, W, 3] -> the windows, row by row, [n, height, width, 3]."""
        height, width = self.window
        starts = [(top, left) for top in self.tops for left in self.lefts]
        return np.stack([pixels[y : y + height, x : x + width] for y, x in starts])

    def join(self, logits: Tensor) -> Tensor:
        """Logits of the windows [n, h, w, K], side by side as they lie: [Σh, Σw, K]."""
        grid = logits.view(len(self.tops), len(self.lefts), *logits.shape[1:])
        return grid.transpose(1, 2).flatten(2, 3).flatten(0, 1)

    def split(self, logits: Tensor) -> Tensor:
        """What ``join`` joined: [Σh, Σw, K] -> [n, h, w, K]."""
        rows, columns = len(self.tops), len(self.lefts)
        height, width = logits.shape[0] // rows, logits.shape[1] // columns
        grid = logits.reshape(rows, height, columns, width, -1)
        return grid.transpose(1, 2).flatten(0, 1)

    def matrices(
        self, grid: tuple[int, int], size: tuple[int, int], *, cell: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        """R [H, Σh] and C [W, Σw]: R·L·Cᵀ are the pixel logits of a map of ``size`` = (H, W).

        ``grid``: (h, w) of one window's logits, which may reach beyond the window (padding), of
        cells of ``cell`` = (height, width) pixels of the image.
        """
        single = self.count == 1
        starts = (self.tops, self.lefts)
        rows, columns = (
            interpolation_matrix(out, cells, cell=length / (out * pixels))
            if single
            else average_matrix(first, length, window, cells, cell=pixels, num_out=out)
            for out, cells, pixels, length, window, first in zip(
                size, grid, cell, self.image, self.window, starts, strict=True
            )
        )
        return rows, columns


def whole_image(image: tuple[int, int]) -> Windows:
    """One window: all of the image."""
    return Windows(image, image, (0,), (0,))


def sliding_windows(image: tuple[int, int], *, window: int, stride: int) -> Windows:
    """Windows of ``window`` pixels every ``stride``, the last flush with the border.

    A side that is shorter than the window has one window of that side's own length.
    """
    return Windows(
        image,
        (min(window, image[0]), min(window, image[1])),
        window_starts(image[0], window, stride),
        window_starts(image[1], window, stride),
    )


def window_starts(length: int, window: int, stride: int) -> tuple[int, ...]:
    """Where windows start along a side."""
    last = max(0, length - window)
    return (*range(0, last, stride), last)


def average_matrix(
    starts: tuple[int, ...], length: int, window: int, num_cells: int, *, cell: float, num_out: int
) -> Tensor:
    """Weights [num_out, windows·num_cells] of one axis: bilinear, averaged, resized.

    Every window is interpolated to its pixels, pixels that several windows cover are averaged, and
    the ``length`` pixels of the side are resized bilinearly to ``num_out``. Averaging over windows
    of a grid is separable: the number that cover a pixel is that of its row times its column.
    """
    own = interpolation_matrix(window, num_cells, cell=1 / cell)
    side = torch.zeros((length, len(starts), num_cells))
    for index, start in enumerate(starts):
        side[start : start + window, index] = own
    side /= side.sum(dim=(1, 2))[:, None, None]  # each covering window's weights sum to 1
    if num_out == length:
        return side.flatten(1)
    resized = interpolation_matrix(num_out, length, cell=length / num_out)
    return resized @ side.flatten(1)


def average_part(
    starts: tuple[int, ...], window: int, num_cells: int, *, cell: float, pixels: range
) -> tuple[range, Tensor]:
    """Some rows of ``average_matrix`` at the side's own size, without making the rest.

    Returns:
        The windows that cover these pixels, and weights [len(pixels), windows·num_cells] of theirs.
    """
    own = interpolation_matrix(window, num_cells, cell=1 / cell)
    covering = [i for i, at in enumerate(starts) if pixels.start - window < at < pixels.stop]
    found = range(covering[0], covering[-1] + 1)
    side = torch.zeros((len(pixels), len(found), num_cells))
    for position, index in enumerate(found):
        first = max(starts[index], pixels.start)
        last = min(starts[index] + window, pixels.stop)
        inside = slice(first - pixels.start, last - pixels.start)
        side[inside, position] = own[first - starts[index] : last - starts[index]]
    weights = side.flatten(1)
    return found, weights / weights.sum(dim=1, keepdim=True)
