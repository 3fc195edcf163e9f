"""What a format is: the files of one image, and documents about all images."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from raynef.report.palette import palette


@dataclass(frozen=True)
class Categories:
    """What the numbers of a map stand for: classes where clusters have names, else clusters.

    Attributes:
        num_clusters: K, or the number of groups.
        class_names: C long; None where there are no names.
    """

    num_clusters: int
    class_names: tuple[str, ...] | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the categories, by number."""
        if self.class_names is not None:
            return self.class_names
        return tuple(f"cluster {index}" for index in range(self.num_clusters))

    @cached_property
    def colors(self) -> tuple[tuple[int, int, int], ...]:
        """RGB of the categories, as in the overlays or in classes/*.png."""
        colors = palette(max(2, len(self.names)))[: len(self.names)]
        return tuple((red, green, blue) for red, green, blue in colors.tolist())


@dataclass(frozen=True)
class Labeled:
    """One segmented image.

    Attributes:
        output: name of its own files, with ``.png`` at the end.
        clusters: uint16 [H, W], numbers below ``Categories.num_clusters``.
        classes: int16 [H, W], -1 where a cluster has none; None where there are no names.
        valid: bool [H, W], where the image has a value; None where it has one everywhere.
    """

    output: str
    clusters: np.ndarray
    classes: np.ndarray | None = None
    valid: np.ndarray | None = None

    @property
    def categories(self) -> np.ndarray:
        """The category of each pixel, int32 [H, W], -1 for none."""
        found = (self.clusters if self.classes is None else self.classes).astype(np.int32)
        return found if self.valid is None else np.where(self.valid, found, -1)


@dataclass(frozen=True)
class Entry:
    """What a document says of one image.

    Attributes:
        name: relative to the folder of images.
        output: as of ``Labeled``.
        source: where the image lies, without secrets.
        width, height: in pixels.
        own: what the format's ``entry`` gave, through JSON.
    """

    name: str
    output: str
    source: str
    width: int
    height: int
    own: Any


@dataclass(frozen=True)
class Collected:
    """All images, for a document.

    Attributes:
        entries: of the images in order; each call begins anew, and holds one at a time.
    """

    categories: Categories
    entries: Callable[[], Iterator[Entry]]


def _nothing(_: Labeled, __: Categories) -> dict[str, bytes]:
    return {}


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        files: of one image, {path within the folder of results: content}. The path begins with the
            name of a folder, which the manifest calls them by, and ends with ``Labeled.output``.
        entry: plain values that the documents are made of, for JSON; kept with the image's record.
        documents: {path: what writes it}, made of all images when they are done.
    """

    files: Callable[[Labeled, Categories], dict[str, bytes]] = _nothing
    entry: Callable[[Labeled, Categories], Any] | None = None
    documents: Mapping[str, Callable[[Collected, Path], object]] = field(default_factory=dict)


def write_parts(path: Path, parts: Iterable[str]) -> None:
    """Write a text document as it is made, never whole in memory."""
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(parts)


def json_items(items: Iterable[Any]) -> Iterator[str]:
    """The inside of a JSON list, an item a line."""
    for number, item in enumerate(items):
        yield f"{',' if number else ''}\n{json.dumps(item)}"
