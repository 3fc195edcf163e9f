"""Resizing and cropping of arrays that hold pixels or labels."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from raynef.core.errors import UserError

_LONGEST = 16


def short_side_size(
    shape: Sequence[int], short_side: int, *, truncated: bool = False
) -> tuple[int, int]:
    """(H, W) of [H, W, …] with the short side at ``short_side`` and the aspect kept.

    A strip stays smaller: its long side is at most ``_LONGEST`` times ``short_side``, or one pixel
    line of 5,000 would become a gigabyte.

    Args:
        shape: of what is resized.
        short_side: in pixels.
        truncated: the long side is cut to an integer, as in ReCo's protocol (500x375 to 426x320);
            rounded without (427x320), as in the sliding one and in training.
    """
    height, width = shape[0], shape[1]
    short, long = min(height, width), max(height, width)
    if long > _LONGEST * short:
        scale = _LONGEST * short_side / long
        return max(1, round(height * scale)), max(1, round(width * scale))
    scaled = long * short_side // short if truncated else round(long * (short_side / short))
    return (short_side, scaled) if height <= width else (scaled, short_side)


def resize(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear, antialiased resize of uint8 [H, W, 3] to ``size`` = (H, W)."""
    if pixels.shape[:2] == size:
        return pixels
    image = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def resize_bicubic(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bicubic, antialiased resize of uint8 [H, W, 3], as CLIP's and DINOv2's own preprocessing."""
    if pixels.shape[:2] == size:
        return pixels
    image = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(image)


def resized_part(
    pixels: np.ndarray, size: tuple[int, int], *, top: int, left: int, part: tuple[int, int]
) -> np.ndarray:
    """The part (H, W) at (top, left) of ``resize(pixels, size)``, without making the rest."""
    down, across = pixels.shape[0] / size[0], pixels.shape[1] / size[1]
    box = (left * across, top * down, (left + part[1]) * across, (top + part[0]) * down)
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((part[1], part[0]), Image.Resampling.BILINEAR, box=box))


def resize_label(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest resize of int32 [H, W] to ``size`` = (H, W)."""
    if label.shape == size:
        return label
    image = Image.fromarray(label).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(image)


def center_crop(pixels: np.ndarray, side: int) -> np.ndarray:
    """The central side×side part; a side that is shorter stays whole. [H, W, …] -> [H', W', …]."""
    height, width = pixels.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return pixels[top : top + side, left : left + side]


def pad_to(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pad [H, W, 3] at the right and bottom to [height, width, 3] by repeating the edge."""
    missing = (height - pixels.shape[0], width - pixels.shape[1])
    if missing == (0, 0):
        return pixels
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")


def for_scoring(
    image: np.ndarray, label: np.ndarray, *, short_side: int, crop: int | None, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """An image as the backbone sees it, and its label at the size at which it is scored.

    Args:
        image: uint8 [H, W, 3].
        label: int [H, W].
        short_side: to which the image is resized, bilinearly.
        crop: side of the central part of both, the label resized by nearest neighbors (ReCo's
            protocol); None: all of the image, and the label as it is.
        name: of the image, for the error.

    Raises:
        UserError: a label of another size than its image, naming both.
    """
    if label.shape != image.shape[:2]:
        raise UserError(
            f"the label of {name} is {label.shape[1]}x{label.shape[0]} pixels, "
            f"but its image is {image.shape[1]}x{image.shape[0]}"
        )
    size = short_side_size(label.shape, short_side, truncated=crop is not None)
    small = resize(image, size)
    if crop is None:
        return small, label
    return center_crop(small, crop), center_crop(resize_label(label, size), crop)
