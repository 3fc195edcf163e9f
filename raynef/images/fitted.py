"""A whole image as a backbone takes it: bounded, and cut to whole patches at right and bottom."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from raynef.core.errors import BadImageError
from raynef.images.geometry import resize


@dataclass(frozen=True)
class Frame:
    """How an image was fitted.

    Attributes:
        size: (H, W) of the image itself.
        resized: (H, W) before the cut.
        cut: (H, W) after it, both multiples of the stride.
    """

    size: tuple[int, int]
    resized: tuple[int, int]
    cut: tuple[int, int]


class Fitted(NamedTuple):
    """A fitted image, uint8 [H', W', 3], and how it was fitted."""

    pixels: np.ndarray
    frame: Frame


def frame_of(size: tuple[int, int], *, stride: int, max_side: int) -> Frame:
    """How an image of ``size`` = (H, W) is fitted: resized where its longest side is above
    ``max_side`` or its short side below ``stride``, then cut to whole patches of ``stride`` pixels.

    Raises BadImageError: an image so narrow that its short side would not hold a patch.
    """
    height, width = size
    scale = min(1.0, max_side / max(height, width))
    if min(height, width) * scale < stride:
        scale = stride / min(height, width)
    if max(height, width) * scale > max(max_side, stride):
        raise BadImageError(
            f"{width}x{height} pixels: too narrow for patches of {stride} within {max_side}"
        )
    resized = (max(stride, round(height * scale)), max(stride, round(width * scale)))
    return Frame(size, resized, (resized[0] // stride * stride, resized[1] // stride * stride))


def fit(image: np.ndarray, *, stride: int, max_side: int) -> Fitted:
    """An image, uint8 [H, W, 3], after resizing and cutting: see ``frame_of``."""
    frame = frame_of(image.shape[:2], stride=stride, max_side=max_side)
    return Fitted(resize(image, frame.resized)[: frame.cut[0], : frame.cut[1]], frame)


def to_whole_image(index: np.ndarray, frame: Frame) -> np.ndarray:
    """A map over the nodes of a fitted image, [h, w], at the size of the image: [H, W].

    Each pixel takes the node that it lies in; what was cut off, the values at the edge.
    """
    rows, columns = (
        _nodes(size, resized, cut, count)
        for size, resized, cut, count in zip(
            frame.size, frame.resized, frame.cut, index.shape, strict=True
        )
    )
    return index[rows[:, None], columns[None, :]]


def _nodes(num_pixels: int, resized: int, cut: int, num_nodes: int) -> np.ndarray:
    """The node of each pixel along one side."""
    place = (np.arange(num_pixels) + 0.5) * resized / num_pixels  # in pixels of the resized image
    return np.minimum((place * num_nodes / cut).astype(np.int64), num_nodes - 1)


def to_image_box(
    box: tuple[float, float, float, float], grid: tuple[int, int], frame: Frame
) -> tuple[float, float, float, float]:
    """A box in nodes of a grid (h, w) as one in pixels of the image itself.

    Boxes are half-open, (x0, y0, x1, y1); the part that was cut off is in none.
    """
    down = frame.cut[0] / grid[0] * frame.size[0] / frame.resized[0]
    across = frame.cut[1] / grid[1] * frame.size[1] / frame.resized[1]
    return (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
