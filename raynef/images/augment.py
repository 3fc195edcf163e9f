"""Training views: augmented as in the paper, or the middle of an image moved by a few pixels.

Of the paper's, random scale, crop, flip and photometric distortion, every draw follows from (seed,
view, image) and only the image is touched: the published random crop reads labels (its
``cat_max_ratio``), which is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from raynef.config.recipe import Data
from raynef.core.draws import generator
from raynef.images.geometry import pad_to, resize, resized_part, short_side_size

HUE_STEPS = 18
"""Largest shift of the hue, of the ``HUE_CIRCLE`` steps of OpenCV's circle: 36°."""
HUE_CIRCLE = 180


@dataclass(frozen=True)
class View:
    """One square training crop.

    Attributes:
        pixels: uint8 [crop, crop, 3]; the image at the top left, the rest repeats its edge.
        extent: (height, width) of the image's part; what lies beyond is padding.
    """

    pixels: np.ndarray
    extent: tuple[int, int]


@dataclass(frozen=True)
class Placement:
    """Where a training crop lies in its image.

    Attributes:
        size: (H, W) to which the whole image is resized.
        top, left: of the crop within it.
        extent: (height, width) of the image's part in the crop. Of a shifted view a few pixels of
            it may lie beyond the image, whose edge they repeat.
        flipped: left and right change places, within the part.
    """

    size: tuple[int, int]
    top: int
    left: int
    extent: tuple[int, int]
    flipped: bool

    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Index of the part's rows and columns in the resized image, [height, 1] and [width]."""
        rows = np.arange(self.top, self.top + self.extent[0]).clip(0, self.size[0] - 1)
        columns = np.arange(self.left, self.left + self.extent[1]).clip(0, self.size[1] - 1)
        return rows[:, None], columns[::-1] if self.flipped else columns


def place_view(
    shape: Sequence[int], data: Data, *, view: int, draws: np.random.Generator
) -> Placement:
    """Where view number ``view`` of an image [H, W, …] lies, by the recipe's kind of views."""
    return (
        place_shifted(shape, data, view) if data.views == "shifted" else place(shape, data, draws)
    )


def place_shifted(shape: Sequence[int], data: Data, view: int) -> Placement:
    """View 0 is the middle of an image [H, W, …]; the others are that moved by ``data.shift``.

    Down or up and left or right at once, in four views; the next four are moved twice as far.
    """
    size = short_side_size(shape, data.short_side)
    round_, corner = divmod(max(0, view - 1), 4)
    shift = data.shift * (round_ + 1) if view else 0
    down, across = (-1 if corner < 2 else 1) * shift, (-1 if corner % 2 == 0 else 1) * shift
    top, left = (max(0, length - data.crop) // 2 for length in size)
    extent = (min(data.crop, size[0]), min(data.crop, size[1]))
    return Placement(size, top + down, left + across, extent, flipped=False)


def place(shape: Sequence[int], data: Data, draws: np.random.Generator) -> Placement:
    """Scale, crop and flip of an image [H, W, …]: the first draws of its augmented view."""
    scale = draws.uniform(*data.scale)
    size = short_side_size(shape, max(1, round(data.short_side * scale)))
    top = int(draws.integers(0, max(0, size[0] - data.crop) + 1))
    left = int(draws.integers(0, max(0, size[1] - data.crop) + 1))
    extent = (min(data.crop, size[0]), min(data.crop, size[1]))
    return Placement(size, top, left, extent, flipped=draws.random() < data.flip)


def augment(image: np.ndarray, data: Data, *, seed: int, view: int, index: int) -> View:
    """View number ``view`` of image ``index``, from its pixels uint8 [H, W, 3]."""
    (only,) = augment_all(image, data, seed=seed, views=[view], index=index)
    return only


def augment_all(
    image: np.ndarray, data: Data, *, seed: int, views: Sequence[int], index: int
) -> list[View]:
    """The views of these numbers, as ``augment`` makes each; shifted ones are resized once."""
    if data.views == "shifted":
        places = [place_shifted(image.shape, data, view) for view in views]
        whole = resize(image, places[0].size) if places else image
        return [
            View(pad_to(whole[where.pixels()], data.crop, data.crop), where.extent)
            for where in places
        ]
    return [_augmented(image, data, draws_of_view(seed, view, index)) for view in views]


def _augmented(image: np.ndarray, data: Data, draws: np.random.Generator) -> View:
    """A view as in the paper."""
    where = place(image.shape, data, draws)
    part = resized_part(image, where.size, top=where.top, left=where.left, part=where.extent)
    if where.flipped:
        part = part[:, ::-1]
    if data.photometric:
        part = photometric_distortion(part, draws)
    return View(pad_to(np.ascontiguousarray(part), data.crop, data.crop), where.extent)


def draws_of_view(seed: int, view: int, index: int) -> np.random.Generator:
    """The draws of view number ``view`` of image ``index``."""
    return generator("view", seed, view, index)


def photometric_distortion(pixels: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Brightness ±32, contrast and saturation 0.5 to 1.5, hue ±36°, each with probability ½.

    The ranges and the order (contrast before or after the colors, by a draw) are those of
    Segmenter's pipeline, which the paper follows; it shifts OpenCV's hue, which counts 180 steps
    around the circle, by at most 18. uint8 [H, W, 3] -> uint8 [H, W, 3].
    """
    levels = np.arange(256, dtype=np.float32)
    brightness = draws.uniform(-32, 32) if draws.random() < 0.5 else 0.0
    contrast_first = draws.random() < 0.5
    contrast = draws.uniform(0.5, 1.5) if draws.random() < 0.5 else 1.0
    saturation = draws.uniform(0.5, 1.5) if draws.random() < 0.5 else 1.0
    hue = int(draws.integers(-HUE_STEPS, HUE_STEPS + 1)) if draws.random() < 0.5 else 0

    image = Image.fromarray(pixels)
    before = np.array(_table(levels + brightness), dtype=np.float32)
    image = image.point(3 * _table(before * (contrast if contrast_first else 1.0)))
    if saturation != 1.0 or hue:
        turned = [int(level) for level in (levels + round(hue * 256 / HUE_CIRCLE)) % 256]
        tables = turned + _table(levels * saturation) + _table(levels)
        image = image.convert("HSV").point(tables).convert("RGB")
    if not contrast_first:
        image = image.point(3 * _table(levels * contrast))
    return np.asarray(image)


def _table(levels: np.ndarray) -> list[int]:
    """A look-up table of 256 output levels, rounded and clipped to 8 bits."""
    return [int(level) for level in np.clip(np.rint(levels), 0, 255)]
