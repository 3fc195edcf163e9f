"""Rows of pictures: a photograph, and what was found in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raynef.core import IGNORE
from raynef.report.embed import Embedded, flat, photo, shrink, shrink_labels, small_size
from raynef.report.palette import hex_color, overlay, palette
from raynef.report.records import ClusterCard, GalleryItem
from raynef.report.sweep_records import SweepImage
from raynef.report.words import percent

_SWEEP_WIDTH = 220  # pixels of a picture; a row has up to seven
_PATCH_SIZE = 96  # pixels; shown at about half of that, sharp on dense screens
_MAX_PATCHES = 9

COLUMNS = {
    "image": "the photograph",
    "segments": "clusters laid over it, one color each",
    "classes": "the class each cluster stands for",
    "label": "what a person drew",
}


@dataclass(frozen=True)
class Shot:
    """A picture on the page, its name, and what it shows; None where an image lacks it."""

    name: str
    about: str
    image: Embedded | None


@dataclass(frozen=True)
class Row:
    """Pictures of one image; ``chips`` is the legend of class colors, (color or None, name)."""

    name: str
    facts: str | None
    shots: tuple[Shot, ...]
    chips: tuple[tuple[str | None, str], ...] = ()


@dataclass(frozen=True)
class Card:
    """A cluster on the page: its color and the pictures of its patches."""

    cluster: ClusterCard
    color: str
    images: tuple[Embedded, ...]


def sweep_rows(images: Sequence[SweepImage]) -> list[Row]:
    """The photograph, then what each trial found in it."""
    return [_sweep_row(item) for item in images]


def _sweep_row(item: SweepImage) -> Row:
    size = small_size(*item.image.shape[:2], max_width=_SWEEP_WIDTH)
    image = shrink(item.image, size)
    shots = [Shot("image", "the photograph", photo(image, alt=f"{item.name}: image"))]
    for found in item.maps:
        kind = "classes" if found.classes else "clusters"
        colors = palette(max(2, 1 + int(found.index.max(initial=0))))
        painted = overlay(image, shrink_labels(found.index, size), colors)
        alt = f"{item.name}: {kind} of {found.name}"
        shots.append(Shot(found.name, kind, photo(painted, alt=alt)))
    return Row(item.name, None, tuple(shots))


def run_rows(
    items: Sequence[GalleryItem],
    cluster_colors: np.ndarray,
    class_colors: np.ndarray,
    class_names: Mapping[int, str],
) -> list[Row]:
    """The columns that any of the images has. Colors uint8 [num_colors, 3]."""
    parts = [
        "image",
        "segments",
        *(["classes"] if any(item.classes is not None for item in items) else []),
        *(["label"] if any(item.label is not None for item in items) else []),
    ]
    rows = []
    for item in items:
        drawn = _pictures(item, cluster_colors, class_colors)
        shots = tuple(Shot(part, COLUMNS[part], drawn.get(part)) for part in parts)
        rows.append(Row(item.name, _facts(item), shots, _chips(item, class_colors, class_names)))
    return rows


def _pictures(
    item: GalleryItem, cluster_colors: np.ndarray, class_colors: np.ndarray
) -> dict[str, Embedded]:
    size = small_size(*item.clusters.shape)
    image = shrink(item.image, size)
    painted = overlay(image, shrink_labels(item.clusters, size), cluster_colors)
    pictures = {
        "image": photo(image, alt=f"{item.name}: image"),
        "segments": photo(painted, alt=f"{item.name}: segments"),
    }
    for part, index in (("classes", item.classes), ("label", without_ignored(item.label))):
        if index is not None:
            small = shrink_labels(index, size)
            pictures[part] = flat(small, class_colors, alt=f"{item.name}: {part}")
    return pictures


def _facts(item: GalleryItem) -> str:
    """How many segments, and how much of the label they got right."""
    count = len(np.unique(item.clusters))
    text = f"{count} cluster{'' if count == 1 else 's'}"
    label = without_ignored(item.label)
    if item.classes is not None and label is not None and (label >= 0).any():
        right = float((item.classes == label)[label >= 0].mean())
        text += f" · {percent(right)} of labeled pixels right"
    return text


def _chips(
    item: GalleryItem, class_colors: np.ndarray, class_names: Mapping[int, str]
) -> tuple[tuple[str | None, str], ...]:
    """Classes in this row, the largest first."""
    maps = [part for part in (item.classes, without_ignored(item.label)) if part is not None]
    if not maps:
        return ()
    values, counts = np.unique(np.concatenate([part.ravel() for part in maps]), return_counts=True)
    chips: list[tuple[str | None, str]] = [
        (hex_color(class_colors[value]), class_names.get(int(value), f"class {value}"))
        for value in values[np.argsort(-counts, kind="stable")]
        if value >= 0
    ]
    if values[0] < 0:
        chips.append((None, "no class or no label"))
    return tuple(chips)


def cards(clusters: Sequence[ClusterCard], colors: np.ndarray) -> list[Card]:
    """Clusters in the given order; ``colors`` uint8 [num_colors, 3]."""
    made = []
    for card in clusters:
        pictures = []
        for i, patch in enumerate(card.patches[:_MAX_PATCHES]):
            size = min(_PATCH_SIZE, max(patch.shape[:2]))
            small = shrink(patch, (size, size))
            pictures.append(photo(small, alt=f"cluster {card.cluster}, patch {i + 1}"))
        made.append(Card(card, hex_color(colors[card.cluster]), tuple(pictures)))
    return made


def without_ignored(label: np.ndarray | None) -> np.ndarray | None:
    """``label`` int64 [H, W] with -1 instead of 255."""
    if label is None:
        return None
    wide = label.astype(np.int64)
    return np.where(wide == IGNORE, -1, wide)
