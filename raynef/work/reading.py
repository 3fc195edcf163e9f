"""Tasks that read images: training views, images to score, to segment, files to examine.

Nothing here imports torch: Ray starts a process for each task that runs at once, and each would
load it, which takes seconds and half a gigabyte.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raynef.config.recipe import Data, Evaluate
from raynef.core.errors import BadImageError, UserError
from raynef.images.augment import View, augment_all
from raynef.images.datasets.imageset import LabelCodes
from raynef.images.decode import decode_image, read_encoded, stored_in
from raynef.images.geometry import for_scoring, resize_bicubic
from raynef.images.oriented import read_truth
from raynef.segment.crf import Temperature
from raynef.stores.predicted import hash_of
from raynef.work.units import Carried, Examined, ImageUnit, U, readable


def make_views(unit: U, *, data: Data, side: int) -> Carried[U, View]:
    """Task: read, decode and augment the images of a unit; a bad file becomes a named reason."""
    (made,) = make_all_views([unit], data=data, side=side)
    return made


def make_all_views(units: Sequence[U], *, data: Data, side: int) -> list[Carried[U, View]]:
    """Task: ``make_views`` of units that hold the same images, each of which is decoded once."""
    numbers, first = [unit.view for unit in units], units[0]
    views: list[dict[int, View]] = [{} for _ in units]
    skipped: dict[str, str] = {}
    for position, _, image in readable(first.files, skipped):
        index = first.images[position]
        made = augment_all(image, data, seed=data.view_seed, views=numbers, index=index)
        for of_unit, view in zip(views, made, strict=True):
            of_unit[index] = resized_view(view, side)
    return [Carried(*each, skipped) for each in zip(units, views, strict=True)]


def resized_view(view: View, side: int) -> View:
    """A view at the side that the backbone takes, bicubic; what was padding stays padding.

    The padding repeats the image's edge, so that none of it shows in the resized image; a row or
    column that is in part padding counts as padding.
    """
    crop = len(view.pixels)
    if side == crop:
        return view
    height, width = (max(1, length * side // crop) for length in view.extent)
    return View(resize_bicubic(view.pixels, (side, side)), (height, width))


@dataclass(frozen=True)
class Scoring:
    """How the images of a split are scored.

    Attributes:
        config: the protocol.
        codes: of the labels, as in ``ImageSet``.
        shape: of the tables, [1, K, C]; with a CRF [2, K, C], the second after it.
        temperature: of the softmax that the CRF starts from.
    """

    config: Evaluate
    codes: LabelCodes
    shape: tuple[int, int, int]
    temperature: Temperature = 1.0


@dataclass(frozen=True)
class Example:
    """One image: ``small`` as the backbone sees it, ``label`` and ``full`` as they are scored."""

    name: str
    small: np.ndarray
    label: np.ndarray
    full: np.ndarray | None


@dataclass(frozen=True)
class Examples:
    """The images of a unit that could be read, and what is wrong with the first bad label."""

    examples: list[Example]
    skipped: dict[str, str]
    mistake: str | None
    num_images: int


def read_examples(unit: ImageUnit, *, scoring: Scoring) -> Examples:
    """Task: read images and labels, and bring them to the sizes at which they are seen."""
    config = scoring.config
    crop = config.crop if config.protocol == "reco" else None
    examples, skipped, mistake = [], {}, None
    for file in unit.files:
        try:
            encoded = read_encoded(file.path)
            image = decode_image(encoded)
        except BadImageError as error:
            skipped[file.name] = str(error)
            continue
        try:
            label = read_truth(file, scoring.codes, stored=stored_in(encoded))
            small, label = for_scoring(
                image, label, short_side=config.short_side, crop=crop, name=file.name
            )
        except UserError as error:  # carried to the driver: an exception here would be retried
            mistake = str(error)
            break
        full = (image if crop is None else small) if config.crf else None
        examples.append(Example(file.name, small, _compact(label), full))
    return Examples(examples, skipped, mistake, len(unit.files))


def _compact(label: np.ndarray) -> np.ndarray:
    """A label in 8 bits where it fits: less to carry."""
    fits = label.size and label.min() >= 0 and label.max() <= np.iinfo(np.uint8).max
    return label.astype(np.uint8) if fits else label


def find_bad(unit: ImageUnit) -> Examined:
    """Task: decode the files of a unit."""
    skipped: dict[str, str] = {}
    for _ in readable(unit.files, skipped):
        pass
    return Examined(len(unit.images), skipped)


@dataclass(frozen=True)
class PredictUnit(ImageUnit):
    """A few images.

    Attributes:
        part: where their records go.
    """

    part: str = ""


@dataclass(frozen=True)
class Photo:
    """A decoded image, uint8 [H, W, 3], and the hash of its file."""

    pixels: np.ndarray
    content: str


def read_photos(unit: PredictUnit) -> Carried[PredictUnit, Photo]:
    """Task: read and decode the images of a unit; a bad one becomes a named reason."""
    photos, skipped = {}, {}
    for index, file in zip(unit.images, unit.files, strict=True):
        try:
            encoded = read_encoded(file.path)
            photos[index] = Photo(decode_image(encoded), hash_of(encoded))
        except BadImageError as error:
            skipped[file.name] = str(error)
    return Carried(unit, photos, skipped)
