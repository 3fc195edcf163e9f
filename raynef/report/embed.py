"""Pictures as data URIs: everything on the page is inside the page."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from raynef.report.palette import IGNORED
from raynef.report.records import Picture

MAX_WIDTH = 320
JPEG_QUALITY = 80
_PATCH_SIZE = 96  # pixels; shown at about half of that, sharp on dense screens


@dataclass(frozen=True)
class Embedded:
    """An image inside the page: its data URI and its size in pixels."""

    source: str
    width: int
    height: int


def embed(picture: Picture) -> Embedded:
    """A photograph as JPEG, an index map as indexed PNG; at the size that it has."""
    if picture.colors is None:
        return _photo(picture.pixels)
    return _flat(picture.pixels, picture.colors)


def cut_out(patch: np.ndarray) -> Embedded:
    """A square of the patch uint8 [p, p, 3] that defines a cluster."""
    size = min(_PATCH_SIZE, max(patch.shape[:2]))
    return _photo(shrink(patch, (size, size)))


def _photo(image: np.ndarray) -> Embedded:
    return _saved(Image.fromarray(image), "jpeg", quality=JPEG_QUALITY)


def _flat(labels: np.ndarray, colors: np.ndarray) -> Embedded:
    """``labels`` int [H, W] as indexed PNG; negative values are dark gray."""
    present, index = np.unique(np.where(labels < 0, -1, labels), return_inverse=True)
    if len(present) > 256:
        raise ValueError(f"a flat map must hold at most 256 values, got {len(present)}")
    table = [IGNORED if value < 0 else tuple(colors[value]) for value in present]
    drawing = Image.fromarray(index.reshape(labels.shape).astype(np.uint8)).convert("P")
    drawing.putpalette([int(channel) for color in table for channel in color])
    return _saved(drawing, "png")


def _saved(drawing: Image.Image, kind: str, **settings: int) -> Embedded:
    buffer = io.BytesIO()
    drawing.save(buffer, kind, optimize=True, **settings)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Embedded(f"data:image/{kind};base64,{data}", *drawing.size)


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
