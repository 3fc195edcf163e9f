"""A whole image as a backbone takes it: bounded, and cut to whole patches at right and bottom."""

from dataclasses import dataclass

import numpy as np

from raynef.core.errors import BadImageError
from raynef.images.geometry import resize


@dataclass(frozen=True)
class Fitted:
    """An image after resizing and cutting.

    Attributes:
        pixels: uint8 [H', W', 3], both multiples of the stride.
        resized: (H, W) before the cut.
        size: (H, W) of the image itself.
    """

    pixels: np.ndarray
    resized: tuple[int, int]
    size: tuple[int, int]


def fit(image: np.ndarray, *, stride: int, max_side: int) -> Fitted:
    """Resize an image whose longest side is above ``max_side``, or that is smaller than a patch,
    then cut what is beyond whole patches at the right and the bottom.

    Args:
        image: uint8 [H, W, 3].
        stride: what both sides must be multiples of, in pixels.
        max_side: longest side, in pixels; no less than ``stride``.

    Raises:
        BadImageError: an image so narrow that its short side would not hold a patch.
    """
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if min(height, width) * scale < stride:
        scale = stride / min(height, width)
    if max(height, width) * scale > max(max_side, stride):
        raise BadImageError(
            f"{width}x{height} pixels: too narrow for patches of {stride} within {max_side}"
        )
    resized = (max(stride, round(height * scale)), max(stride, round(width * scale)))
    cut = tuple(side // stride * stride for side in resized)
    return Fitted(resize(image, resized)[: cut[0], : cut[1]], resized, (height, width))


def to_whole_image(index: np.ndarray, fitted: Fitted) -> np.ndarray:
    """A map over the nodes of a fitted image at the size of the image itself, by nearest nodes.

    What was cut off takes the values at the edge.

    Args:
        index: any type [h, w].
        fitted: the image.

    Returns:
        [H, W], that of ``fitted.size``.
    """
    (height, width), cut = fitted.size, fitted.pixels.shape
    rows = _nearest(height, fitted.resized[0], cut[0], index.shape[0])
    columns = _nearest(width, fitted.resized[1], cut[1], index.shape[1])
    return index[rows[:, None], columns[None, :]]


def _nearest(num_pixels: int, resized: int, cut: int, num_nodes: int) -> np.ndarray:
    """The node of each pixel along one side."""
    place = (np.arange(num_pixels) + 0.5) * resized / num_pixels  # in pixels of the resized image
    return np.minimum((place * num_nodes / cut).astype(np.int64), num_nodes - 1)
