"""What was read off the eigenvectors of some images: pictures side by side, with the numbers."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from raynef.report.embed import shrink, shrink_labels, small_size
from raynef.report.html import page
from raynef.report.records import Picture as Picture
from raynef.report.records import Row as SpectralRow

_WIDTH = 240  # pixels of a picture; a row has up to seven
_FOUND, _MISSED, _TRUE = (60, 190, 90), (220, 70, 60), (250, 200, 40)
_LOW, _HIGH = np.array([40, 70, 160.0]), np.array([235, 120, 40.0])


def render_spectral(
    kicker: str,
    title: str,
    *,
    about: str,
    summary: Mapping[str, str | float | int],
    rows: Sequence[SpectralRow],
    command: str,
) -> str:
    """The whole page as HTML text; write it as UTF-8.

    ``kicker`` stands above the title, ``summary`` holds numbers by the glossary's keys, and
    ``command`` makes rows where there are none.
    """
    return page(
        "spectral.html",
        kicker=kicker,
        title=title,
        links=("Gallery",),
        warning=None,
        summary=summary,
        about=about,
        rows=[_small(row) for row in rows],
        command=command,
    )


def _small(row: SpectralRow) -> SpectralRow:
    pictures = []
    for picture in row.pictures:
        size = small_size(*picture.pixels.shape[:2], max_width=_WIDTH)
        pictures.append(dataclasses.replace(picture, pixels=shrink(picture.pixels, size)))
    return dataclasses.replace(row, pictures=tuple(pictures))


def painted_vector(vector: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An eigenvector [h, w] in colors: orange above 0, blue below, white at 0; uint8 [H, W, 3]."""
    scale = np.abs(vector).max()
    share = shrink_values(vector / scale if scale > 0 else vector, size)[..., None]
    towards = np.where(share > 0, _HIGH, _LOW)
    return (255 + (towards - 255) * np.abs(share)).round().astype(np.uint8)


def dimmed(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An image, uint8 [H, W, 3], whose pixels outside of a mask, bool [H, W], are dark."""
    return np.where(mask[..., None], image, image // 4)


def shrink_values(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Values [h, w] at another size by nearest neighbors."""
    index = np.arange(values.size).reshape(values.shape)
    return values.ravel()[shrink_labels(index, size)]


def with_boxes(
    image: np.ndarray,
    found: tuple[float, float, float, float] | None,
    truth: np.ndarray | None,
    *,
    right: bool | None,
) -> np.ndarray:
    """An image with boxes drawn on it: yellow those of people, green or red the one found.

    Args:
        image: uint8 [H, W, 3].
        found: half-open (x0, y0, x1, y1) in pixels of the image, as ``truth`` [m, 4].
        right: whether the box is; None where nobody knows, drawn as right.
    """
    drawing = Image.fromarray(np.ascontiguousarray(image))
    pen = ImageDraw.Draw(drawing)
    width = max(2, max(image.shape[:2]) // 120)
    for box in [] if truth is None else truth:
        pen.rectangle([box[0], box[1], box[2] - 1, box[3] - 1], outline=_TRUE, width=width // 2 + 1)
    if found is not None:
        color = _MISSED if right is False else _FOUND
        x0, y0, x1, y1 = found
        pen.rectangle([x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)], outline=color, width=width)
    return np.asarray(drawing)
