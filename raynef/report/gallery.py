"""Rows of pictures: a photograph, and what was found in it."""

from collections.abc import Mapping, Sequence

import numpy as np

from raynef.core import IGNORE
from raynef.report.embed import shrink, shrink_labels, small_size
from raynef.report.palette import hex_color, overlay, palette
from raynef.report.records import Chip, GalleryItem, Picture, Row
from raynef.report.sweep_records import SweepImage
from raynef.report.words import percent

_SWEEP_WIDTH = 220  # pixels of a picture; a row has up to seven

COLUMNS = {
    "image": "the photograph",
    "segments": "clusters laid over it, one color each",
    "classes": "the class each cluster stands for",
    "label": "what a person drew",
}


def sweep_row(item: SweepImage) -> Row:
    """The photograph, then what each trial found in it."""
    size = small_size(*item.image.shape[:2], max_width=_SWEEP_WIDTH)
    image = shrink(item.image, size)
    pictures = [Picture("image", "the photograph", image)]
    for found in item.maps:
        kind = "classes" if found.classes else "clusters"
        colors = palette(max(2, 1 + int(found.index.max(initial=0))))
        painted = overlay(image, shrink_labels(found.index, size), colors)
        pictures.append(Picture(found.name, kind, painted, alt=f"{kind} of {found.name}"))
    return Row(item.name, None, tuple(pictures))


def run_rows(
    items: Sequence[GalleryItem],
    cluster_colors: np.ndarray,
    class_colors: np.ndarray,
    class_names: Mapping[int, str],
) -> list[Row]:
    """Pictures that an image lacks are left out. Colors uint8 [num_colors, 3]."""
    return [
        Row(
            item.name,
            _facts(item),
            _pictures(item, cluster_colors, class_colors),
            _chips(item, class_colors, class_names),
        )
        for item in items
    ]


def _pictures(
    item: GalleryItem, cluster_colors: np.ndarray, class_colors: np.ndarray
) -> tuple[Picture, ...]:
    size = small_size(*item.clusters.shape)
    image = shrink(item.image, size)
    painted = overlay(image, shrink_labels(item.clusters, size), cluster_colors)
    pictures = [
        Picture("image", COLUMNS["image"], image),
        Picture("segments", COLUMNS["segments"], painted),
    ]
    for part, index in (("classes", item.classes), ("label", without_ignored(item.label))):
        if index is not None:
            small = shrink_labels(index, size)
            pictures.append(Picture(part, COLUMNS[part], small, class_colors))
    return tuple(pictures)


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
) -> tuple[Chip, ...]:
    """Classes in this row, the largest first."""
    maps = [part for part in (item.classes, without_ignored(item.label)) if part is not None]
    if not maps:
        return ()
    values, counts = np.unique(np.concatenate([part.ravel() for part in maps]), return_counts=True)
    chips = [
        Chip(hex_color(class_colors[value]), class_names.get(int(value), f"class {value}"))
        for value in values[np.argsort(-counts, kind="stable")]
        if value >= 0
    ]
    if values[0] < 0:
        chips.append(Chip(None, "no class or no label"))
    return tuple(chips)


def without_ignored(label: np.ndarray | None) -> np.ndarray | None:
    """``label`` int64 [H, W] with -1 instead of 255."""
    if label is None:
        return None
    wide = label.astype(np.int64)
    return np.where(wide == IGNORE, -1, wide)
