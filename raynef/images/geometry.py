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
    line of 5,000 would become a gigabyte. The long side is rounded, or ``truncated`` to an integer
    as in ReCo's protocol (500x375 to 426x320; rounded 427x320).
    """
    height, width = shape[0], shape[1]
    short, long = min(height, width), max(height, width)
    if long > _LONGEST * short:
        scale = _LONGEST * short_side / long
        return max(1, round(height * scale)), max(1, round(width * scale))
    scaled = long * short_side // short if truncated else round(long * (short_side / short))
    return (short_side, scaled) if height <= width else (scaled, short_side)


def whole_patches(size: tuple[int, int], patch: int) -> tuple[int, int]:
    """(H, W) nearest to a size whose sides are whole numbers of patches, one at least."""
    height, width = (max(1, int(side / patch + 0.5)) * patch for side in size)
    return height, width


def resize(
    pixels: np.ndarray,
    size: tuple[int, int],
    how: Image.Resampling = Image.Resampling.BILINEAR,
) -> np.ndarray:
    """Antialiased resize of uint8 [H, W, 3] to ``size`` = (H, W)."""
    if pixels.shape[:2] == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), how))


def resize_bicubic(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bicubic resize, as CLIP's and DINOv2's own preprocessing; see ``resize``."""
    return resize(pixels, size, Image.Resampling.BICUBIC)


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
    return resize(label, size, Image.Resampling.NEAREST)


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

    The image, uint8 [H, W, 3], is resized bilinearly. With ``crop`` the central part of both
    counts, the label [H, W] resized by nearest neighbors (ReCo's protocol); without, all of the
    image and the label as it is.

    Raises UserError where the label is of another size than its image ``name``.
    """
    require_size("label", name, label, image)
    size = short_side_size(label.shape, short_side, truncated=crop is not None)
    small = resize(image, size)
    if crop is None:
        return small, label
    return center_crop(small, crop), center_crop(resize_label(label, size), crop)


def require_size(what: str, name: str, drawn: np.ndarray, image: np.ndarray) -> None:
    """Raise UserError where what was drawn for an image, [H, W], has another size than it."""
    if drawn.shape != image.shape[:2]:
        raise UserError(
            f"the {what} of {name} is {drawn.shape[1]}x{drawn.shape[0]} pixels, "
            f"but its image is {image.shape[1]}x{image.shape[0]}"
        )
