"""Rows of images: the photograph, the segments found in it, their classes, the label."""

from collections.abc import Mapping, Sequence

import numpy as np

from raynef.core import IGNORE
from raynef.report.embed import flat, photo, shrink, shrink_labels, small_size
from raynef.report.markup import Markup, tag
from raynef.report.palette import overlay
from raynef.report.records import GalleryItem
from raynef.report.words import percent

COLUMNS = {
    "image": "the photograph",
    "segments": "clusters laid over it, one color each",
    "classes": "the class each cluster stands for",
    "label": "what a person drew",
}


def gallery(
    items: Sequence[GalleryItem],
    cluster_colors: np.ndarray,
    class_colors: np.ndarray,
    class_names: Mapping[int, str],
) -> Markup:
    """All rows under one heading line. Colors uint8 [num_colors, 3]."""
    parts = [
        "image",
        "segments",
        *(["classes"] if any(item.classes is not None for item in items) else []),
        *(["label"] if any(item.label is not None for item in items) else []),
    ]
    heads = [tag("div", tag("b", part), " ", COLUMNS[part]) for part in parts]
    return tag(
        "div",
        tag("div", heads, class_="row heads", aria_hidden="true"),
        [_row(item, parts, cluster_colors, class_colors, class_names) for item in items],
        class_=f"gallery of{len(parts)}",
    )


def _row(
    item: GalleryItem,
    parts: Sequence[str],
    cluster_colors: np.ndarray,
    class_colors: np.ndarray,
    class_names: Mapping[int, str],
) -> Markup:
    size = small_size(*item.clusters.shape)
    image = shrink(item.image, size)
    clusters = shrink_labels(item.clusters, size)
    pictures = {
        "image": photo(image, alt=f"{item.name}: image"),
        "segments": photo(overlay(image, clusters, cluster_colors), alt=f"{item.name}: segments"),
    }
    for part, index in (("classes", item.classes), ("label", without_ignored(item.label))):
        if index is not None:
            small = shrink_labels(index, size)
            pictures[part] = flat(small, class_colors, alt=f"{item.name}: {part}")
    cells = [
        tag("figure", pictures.get(part) or tag("div", "none", class_="blank"), caption)
        for part, caption in ((part, tag("figcaption", part)) for part in parts)
    ]
    return tag(
        "article",
        tag("h3", item.name, tag("span", _facts(item))),
        tag("div", cells, class_="row"),
        _chips(item, class_colors, class_names),
    )


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
) -> Markup | None:
    """Legend of the class colors in this row, the largest first."""
    maps = [part for part in (item.classes, without_ignored(item.label)) if part is not None]
    if not maps:
        return None
    values, counts = np.unique(np.concatenate([part.ravel() for part in maps]), return_counts=True)
    entries = [
        tag("li", swatch(class_colors[value]), class_names.get(int(value), f"class {value}"))
        for value in values[np.argsort(-counts, kind="stable")]
        if value >= 0
    ]
    if values[0] < 0:
        entries.append(tag("li", tag("i", class_="swatch none"), "no class or no label"))
    return tag("ul", entries, class_="chips")


def swatch(color: np.ndarray) -> Markup:
    """A small square in ``color`` uint8 [3]."""
    return tag("i", class_="swatch", style="background:#" + bytes(color.tolist()).hex())


def without_ignored(label: np.ndarray | None) -> np.ndarray | None:
    """``label`` int64 [H, W] with -1 instead of 255."""
    if label is None:
        return None
    wide = label.astype(np.int64)
    return np.where(wide == IGNORE, -1, wide)
