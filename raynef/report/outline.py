"""A part of a photograph with what is meant in it outlined, as one square picture."""

import numpy as np
from PIL import Image

from raynef.report.palette import boundaries

_CONTEXT = 1.4  # a square is so many times as wide as what it shows …
_LEAST = 0.3  # … and at least such a part of the image's short side
_OUTSIDE = 0.45  # brightness of what is not meant


def outlined(
    image: np.ndarray, mask: np.ndarray, box: tuple[int, int, int, int], *, side: int
) -> np.ndarray:
    """The square around a box, the mask in it bright within a white and black line.

    Args:
        image: uint8 [H, W, 3], of any size.
        mask: of the same picture, bool [h, w].
        box: what the square is to show: top, left, bottom and right, in pixels of the mask.
        side: of the result, in pixels.

    Returns:
        uint8 [side, side, 3].
    """
    top, left, length = _square(box, mask.shape)
    down, across = (large / small for large, small in zip(image.shape, mask.shape, strict=False))
    part = _resized(
        Image.fromarray(image),
        (left * across, top * down, (left + length) * across, (top + length) * down),
        side,
    ).astype(np.float32)
    drawn = Image.fromarray(mask.astype(np.uint8) * 255)
    inside = _resized(drawn, (left, top, left + length, top + length), side) > 127
    part[~inside] *= _OUTSIDE
    line = boundaries(inside)
    wide = _grown(line)
    part[_grown(wide)] = 0
    part[wide] = 255
    return part.round().astype(np.uint8)


def _square(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[float, float, float]:
    """Top, left and length of the square, which lies within the image."""
    height, width = shape
    short = min(height, width)
    wanted = _CONTEXT * max(box[2] - box[0], box[3] - box[1])
    length = min(short, max(wanted, _LEAST * short))
    top = np.clip((box[0] + box[2] - length) / 2, 0, height - length)
    left = np.clip((box[1] + box[3] - length) / 2, 0, width - length)
    return float(top), float(left), float(length)


def _resized(image: Image.Image, box: tuple[float, float, float, float], side: int) -> np.ndarray:
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR, box=box))


def _grown(line: np.ndarray) -> np.ndarray:
    """A line one pixel wider to all four sides."""
    grown = line.copy()
    grown[1:] |= line[:-1]
    grown[:-1] |= line[1:]
    grown[:, 1:] |= line[:, :-1]
    grown[:, :-1] |= line[:, 1:]
    return grown
