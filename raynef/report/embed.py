"""Pictures as data URIs: everything on the page is inside the page."""

import base64
import io
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from raynef.report.index_map import places_of
from raynef.report.palette import IGNORED, boundaries
from raynef.report.records import Picture

MAX_WIDTH = 320
JPEG_QUALITY = 80
_PATCH_SIZE = 96  # pixels; shown at about half of that, sharp on dense screens
TINT = 0.55
"""Weight of the segments' colors over a photograph, 0 to 1."""
_EDGE = 0.8  # likewise of the white lines between segments


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


def tint(index: np.ndarray, colors: np.ndarray) -> Embedded:
    """An index map int [H, W] as a PNG to lay over its photograph: colors, and lines between.

    ``colors`` uint8 [num_colors, 3]; the page weighs less than with a second photograph.
    """
    present, place = places_of(index)
    rows = np.full((len(present) + 1, 4), round(255 * TINT), dtype=np.uint8)
    rows[:-1, :3] = colors[present]
    rows[-1] = (255, 255, 255, round(255 * _EDGE))
    place = np.where(boundaries(index), len(present), place)
    if len(rows) > 256:
        return _saved(Image.fromarray(rows[place]), "png")
    drawing = Image.fromarray(place.astype(np.uint8)).convert("P")
    drawing.putpalette(rows[:, :3].tobytes())
    return _saved(drawing, "png", transparency=rows[:, 3].tobytes())


def packed(index: np.ndarray) -> str:
    """An index map int [H, W], -1 where there is none, for the page's script.

    Two bytes a pixel, the lower first, 65535 for -1; deflated (zlib), in base 64.
    """
    data = zlib.compress(index.astype("<u2").tobytes(), 9)
    return base64.b64encode(data).decode("ascii")


def _photo(image: np.ndarray) -> Embedded:
    return _saved(Image.fromarray(image), "jpeg", quality=JPEG_QUALITY)


def _flat(labels: np.ndarray, colors: np.ndarray) -> Embedded:
    """``labels`` int [H, W] as indexed PNG; negative values are dark gray."""
    present, index = places_of(np.maximum(labels, -1))
    if len(present) > 256:
        raise ValueError(f"a flat map must hold at most 256 values, got {len(present)}")
    table = [IGNORED if value < 0 else tuple(colors[value]) for value in present]
    drawing = Image.fromarray(index.astype(np.uint8)).convert("P")
    drawing.putpalette([int(channel) for color in table for channel in color])
    return _saved(drawing, "png")


def _saved(drawing: Image.Image, kind: str, **settings: int | bytes) -> Embedded:
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
