"""Arrays as data URIs: everything on the page is inside the page."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from raynef.report.palette import IGNORED

MAX_WIDTH = 320
JPEG_QUALITY = 80


@dataclass(frozen=True)
class Embedded:
    """An image inside the page: its data URI, its size in pixels and what it shows."""

    source: str
    alt: str
    width: int
    height: int


def small_size(height: int, width: int, max_width: int = MAX_WIDTH) -> tuple[int, int]:
    """(height, width) after shrinking to ``max_width``; tall images shrink to twice that."""
    factor = min(1.0, max_width / width, 2 * max_width / height)
    return max(1, round(height * factor)), max(1, round(width * factor))


def shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Image uint8 [H, W, 3] at ``size`` = (height, width), antialiased."""
    if image.shape[:2] == size:
        return image
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    return np.asarray(resized)


def shrink_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Index map int [H, W] at ``size`` by nearest neighbors: no index is invented."""
    rows = ((np.arange(size[0]) + 0.5) * labels.shape[0] / size[0]).astype(np.int64)
    columns = ((np.arange(size[1]) + 0.5) * labels.shape[1] / size[1]).astype(np.int64)
    return labels[rows[:, None], columns[None, :]].astype(np.int64)


def photo(image: np.ndarray, *, alt: str) -> Embedded:
    """``image`` uint8 [H, W, 3] as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return _embedded(buffer, "jpeg", image.shape, alt)


def flat(labels: np.ndarray, colors: np.ndarray, *, alt: str) -> Embedded:
    """``labels`` int [H, W] as indexed PNG; negative values are dark gray."""
    present, index = np.unique(np.where(labels < 0, -1, labels), return_inverse=True)
    if len(present) > 256:
        raise ValueError(f"a flat map must hold at most 256 values, got {len(present)}")
    table = [IGNORED if value < 0 else tuple(colors[value]) for value in present]
    drawing = Image.fromarray(index.reshape(labels.shape).astype(np.uint8)).convert("P")
    drawing.putpalette([int(channel) for color in table for channel in color])
    buffer = io.BytesIO()
    drawing.save(buffer, "PNG", optimize=True)
    return _embedded(buffer, "png", labels.shape, alt)


def _embedded(buffer: io.BytesIO, kind: str, shape: tuple[int, ...], alt: str) -> Embedded:
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Embedded(f"data:image/{kind};base64,{data}", alt, width=shape[1], height=shape[0])
