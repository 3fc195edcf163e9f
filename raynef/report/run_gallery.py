"""The gallery of a run: a photograph, the clusters over it, their classes and the label.

A photograph stands in the page once: the segments are a picture laid over it. Beside the pictures
each row has the cluster, and the label if any, of every pixel, for the page's script.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from raynef.core import IGNORE
from raynef.report.embed import Embedded, embed, packed, shrink, shrink_labels, small_size, tint
from raynef.report.index_map import counts_of
from raynef.report.marks import Mark, marks
from raynef.report.palette import hex_color
from raynef.report.records import Chip, GalleryItem, Picture
from raynef.report.words import percent

_THREADS = 8  # that draw rows, at most
COLUMNS = {
    "image": "the photograph",
    "segments": "clusters laid over it, one color and number each",
    "classes": "the class each cluster stands for",
    "label": "what a person drew",
}


@dataclass(frozen=True)
class View:
    """A picture of a row; ``marks`` stand within its areas."""

    name: str
    drawn: Embedded
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class RunRow:
    """One image of the gallery.

    Attributes:
        clusters: in it, the largest first.
        cluster_chips, class_chips: what its colors mean.
        ids, labels: of each pixel, see ``packed``; None without a label.
        accuracy, iou: of its labeled pixels, 0 to 1; None without a label.
    """

    name: str
    facts: str
    size: tuple[int, int]
    views: Mapping[str, View]
    clusters: tuple[int, ...]
    cluster_chips: tuple[Chip, ...]
    class_chips: tuple[Chip, ...]
    ids: str
    labels: str | None
    accuracy: float | None
    iou: float | None

    @property
    def words(self) -> list[str]:
        """Names of its clusters, and of its classes as found and as labeled."""
        found = [chip.name for chip in self.class_chips if chip.color]
        return list(dict.fromkeys([*found, *(c.note for c in self.cluster_chips if c.note)]))


@dataclass(frozen=True)
class Legend:
    """Colors uint8 [num_colors, 3] and names of clusters and of classes, by their numbers."""

    cluster_colors: np.ndarray
    cluster_names: Mapping[int, str]
    class_colors: np.ndarray
    class_names: Mapping[int, str]

    def cluster(self, number: int) -> Chip:
        """The number of a cluster, and its name if any."""
        name = self.cluster_names.get(number)
        return Chip(hex_color(self.cluster_colors[number]), str(number), name or "")

    def of_class(self, number: int) -> Chip:
        """The name of a class; of -1 that there is none."""
        if number < 0:
            return Chip(None, "no class or no label")
        name = self.class_names.get(number, f"class {number}")
        return Chip(hex_color(self.class_colors[number]), name)


def run_rows(items: Sequence[GalleryItem], legend: Legend) -> list[RunRow]:
    """Rows without the pictures that an image lacks."""
    # Encoders of pictures, and most of numpy, leave other threads the interpreter.
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda item: _row(item, legend), items))


def _row(item: GalleryItem, legend: Legend) -> RunRow:
    label = without_ignored(item.label)
    size = small_size(*item.clusters.shape)
    small = shrink_labels(item.clusters, size)
    numbers = _largest_first(item.clusters)
    accuracy = iou = None
    if item.classes is not None and label is not None and (label >= 0).any():
        accuracy, iou = _scores(item.classes, label)
    maps = [part for part in (item.classes, label) if part is not None]
    shown = _largest_first(np.concatenate([part.ravel() for part in maps])) if maps else []
    views = {
        "image": View("image", embed(Picture("image", "", shrink(item.image, size)))),
        "segments": View(
            "segments",
            tint(small, legend.cluster_colors),
            marks(small, {number: str(number) for number in numbers}),
        ),
    }
    for name, index in (("classes", item.classes), ("label", label)):
        if index is not None:
            views[name] = _flat(name, shrink_labels(index, size), legend)
    return RunRow(
        item.name,
        _facts(len(numbers), accuracy, iou),
        size,
        views,
        tuple(numbers),
        tuple(legend.cluster(number) for number in numbers),
        tuple(legend.of_class(number) for number in sorted(shown, key=lambda n: n < 0)),
        packed(small),
        None if label is None else packed(shrink_labels(label, size)),
        accuracy,
        iou,
    )


def _flat(name: str, index: np.ndarray, legend: Legend) -> View:
    texts = {
        number: legend.of_class(number).name for number in _largest_first(index) if number >= 0
    }
    drawn = embed(Picture(name, "", index, legend.class_colors))
    return View(name, drawn, marks(index, texts))


def _scores(classes: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Accuracy over the labeled pixels, and the mean IoU over the classes that the label has."""
    found, true = classes[label >= 0], label[label >= 0]
    ious = [
        np.count_nonzero((found == one) & (true == one))
        / np.count_nonzero((found == one) | (true == one))
        for one in counts_of(true)[0]
    ]
    return float((found == true).mean()), float(np.mean(ious))


def _facts(count: int, accuracy: float | None, iou: float | None) -> str:
    """How many segments, and how much of the label they got right."""
    text = f"{count} cluster{'' if count == 1 else 's'}"
    if accuracy is None or iou is None:
        return text
    return f"{text} · {percent(accuracy)} of labeled pixels right · mean IoU {percent(iou)}"


def _largest_first(index: np.ndarray) -> list[int]:
    values, counts = counts_of(index)
    return values[np.argsort(-counts, kind="stable")].tolist()


def without_ignored(label: np.ndarray | None) -> np.ndarray | None:
    """``label`` int64 [H, W] with -1 instead of 255."""
    if label is None:
        return None
    wide = label.astype(np.int64)
    return np.where(wide == IGNORE, -1, wide)
