"""What jobs share: units of images, files that cannot be read, and how far the work is."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np

from raynef.cluster.progress import Progress
from raynef.config.recipe import Data
from raynef.core.errors import BadImageError, UserError
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import read_image

_LISTED = 20  # bad files that an error lists by name


T = TypeVar("T")
U = TypeVar("U", bound="ImageUnit")


@dataclass(frozen=True)
class ImageUnit:
    """A unit of ``stream``: a few images that stay together from reading to the end.

    Attributes:
        images: their indices in the data set.
        files: of them; empty where a task needs no file.
        view: of training views.
        outputs: names of the images' own results within a folder.
    """

    images: Sequence[int]
    files: tuple[ImageFile, ...] = ()
    view: int = 0
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Carried(Generic[U, T]):
    """A unit between two steps of a stream.

    Attributes:
        unit: its images.
        values: what was made of each image so far, by its index.
        skipped: {name: reason} of the images that are of no use.
    """

    unit: U
    values: dict[int, T]
    skipped: dict[str, str] = field(default_factory=dict)


class Counted(Protocol):
    """The result of a unit."""

    @property
    def num_images(self) -> int: ...


@dataclass(frozen=True)
class Examined:
    """How many images of a unit were looked at, and {name: reason} of those that are of no use."""

    num_images: int
    skipped: dict[str, str]


R = TypeVar("R", bound=Counted)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items, ``size`` of them at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def image_units(files: Sequence[ImageFile], size: int) -> list[ImageUnit]:
    """A unit for every ``size`` images of a data set."""
    return [
        ImageUnit(part, tuple(files[index] for index in part))
        for part in chunks(range(len(files)), size)
    ]


def watched(
    results: Iterable[R], job: str, total: int, what: str = "images", *, closes: bool = True
) -> Iterator[R]:
    """Results of units as they come, with a line of progress.

    ``total`` is ``num_images`` of all results; ``closes`` says the time at the end.
    """
    progress = Progress(job, total, what)
    for result in results:
        yield result
        progress.advance(result.num_images)
    if closes:
        progress.close()


def readable(
    files: Iterable[ImageFile], skipped: dict[str, str]
) -> Iterator[tuple[int, ImageFile, np.ndarray]]:
    """(position, file, image uint8 [H, W, 3]) of the files that are images.

    The others go to ``skipped``, {name: reason}.
    """
    for position, file in enumerate(files):
        try:
            image = read_image(file.path)
        except BadImageError as error:
            skipped[file.name] = str(error)
        else:
            yield position, file, image


def read_images(unit: U) -> Carried[U, np.ndarray]:
    """Task: decode the images of a unit; a bad one becomes a named reason."""
    skipped: dict[str, str] = {}
    found = {unit.images[position]: image for position, _, image in readable(unit.files, skipped)}
    return Carried(unit, found, skipped)


def most_skipped(data: Data, num_images: int) -> int:
    """Files that may be bad, by ``data.max_bad_fraction``; one always may."""
    return max(1, math.floor(data.max_bad_fraction * num_images))


def check_skipped(data: Data, skipped: dict[str, str], num_images: int) -> None:
    """Raise UserError with the list when more files are bad than the recipe allows."""
    allowed = most_skipped(data, num_images)
    if len(skipped) > allowed:
        raise UserError(
            f"{len(skipped)} of {num_images} images cannot be used, more than "
            f"data.max_bad_fraction = {data.max_bad_fraction} allows ({allowed}): "
            f"{describe_skipped(skipped)}"
        )


def describe_skipped(skipped: dict[str, str]) -> str:
    """The skipped files by name and reason, the first twenty of them."""
    shown = [f"{name}: {reason}" for name, reason in sorted(skipped.items())[:_LISTED]]
    more = f" … and {len(skipped) - _LISTED} more" if len(skipped) > _LISTED else ""
    return f"skipped {len(skipped)} file(s): " + "; ".join(shown) + more
