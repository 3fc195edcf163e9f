"""What an evaluation says: scores of a table, its clusters, and the protocol in words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from raynef.assign.matching import UNMATCHED, Criterion, match, score
from raynef.config.recipe import Evaluate
from raynef.features.clip import CAPTIONS
from raynef.images.datasets.imageset import ImageSet

if TYPE_CHECKING:
    from raynef.models.segmenter import Segmenter

_MATCHES = {"iou": "majority by IoU", "count": "majority by pixels", "hungarian": "Hungarian"}


@dataclass(frozen=True)
class Named:
    """Clusters with their classes [K] (UNMATCHED where there is none), and how well they do.

    Attributes:
        scores: miou, accuracy and per_class_iou, as plain values.
        clusters: class and purity (share of its scored pixels in its class) of each that has one.
    """

    classes: np.ndarray
    scores: dict[str, Any]
    clusters: list[dict[str, Any]]


def name_and_score(
    naming: np.ndarray,
    table: np.ndarray,
    names: tuple[str, ...],
    method: Literal["iou", "count", "hungarian"] | None,
    *,
    criterion: Criterion = "count",
) -> Named:
    """Name the clusters by one table [K, C] and score them on another, or on the same.

    Args:
        naming, table: pixels of cluster against class.
        names: of the classes, C long.
        method: of ``match``; None where cluster k is class k.
        criterion: of ``match``.
    """
    identity = np.arange(len(table))
    classes = identity if method is None else match(naming, method, criterion=criterion)
    result = score(table, classes)
    per_class = zip(names, result.iou, strict=True)
    sizes = table.sum(axis=1)
    return Named(
        classes=classes,
        scores={
            "miou": result.miou,
            "accuracy": result.accuracy,
            "per_class_iou": {name: None if np.isnan(v) else float(v) for name, v in per_class},
        },
        clusters=[
            {
                "cluster": int(k),
                "class": names[classes[k]],
                "purity": float(table[k, classes[k]] / sizes[k]) if sizes[k] else None,
            }
            for k in np.flatnonzero(classes != UNMATCHED)
        ],
    )


def edges_apart(table: np.ndarray, near: np.ndarray, classes: np.ndarray) -> dict[str, Any]:
    """Scores of the pixels near an edge of the truth, and of all others, by the same classes.

    Args:
        table: pixels of cluster against class, [K, C], and ``near`` those of them near an edge.
        classes: of the clusters, [K].
    """
    found: dict[str, Any] = {"share": float(near.sum() / max(1, table.sum()))}
    for name, part in (("near", near), ("away", table - near)):
        result = score(part, classes)
        found[name] = {"miou": result.miou, "accuracy": result.accuracy}
    return found


def class_names(images: ImageSet, *tables: np.ndarray) -> tuple[str, ...]:
    """The data set's, or numbers up to the last class that any table [T, K, C] has pixels of."""
    present = sum(table.sum(axis=(0, 1)) for table in tables)
    last = int(np.flatnonzero(present).max(initial=0))
    return images.class_names or tuple(f"class_{i}" for i in range(last + 1))


def protocol_in_words(config: Evaluate) -> str:
    """How images are resized, cut and scored."""
    side = f"{config.protocol}: short side {config.short_side}"
    if config.protocol == "reco":
        return f"{side}, center crop {config.crop}"
    if config.protocol == "sliding":
        side += f", windows of {config.window} every {config.stride} averaged"
    return f"{side}, scored at the label's own size"


def matching_in_words(
    config: Evaluate, split: str | None, *, supervised: bool, captions: bool
) -> str:
    """How clusters got their classes, and on what; ``split`` is the one that is scored."""
    if supervised:
        return "none: the head was trained on these classes"
    if captions:
        return f"none: the head is texts of these classes; {CAPTIONS}"
    scores = f"the {split or 'whole'} images that are scored"
    images = scores if config.match_on == "val" else "images of the training split"
    return f"{_MATCHES[config.match]}, fitted on {images}"


def told_by_captions(segmenter: "Segmenter") -> dict[str, str]:
    """What is to be said where classes are shown: a note, if a text model told any of them."""
    told = segmenter.captions or segmenter.names.sources
    return {"captions": CAPTIONS} if told else {}


def crf_in_words(config: Evaluate) -> str:
    """What the CRF works on."""
    return f"dense CRF on the {config.crf_clusters} most probable clusters of each image"
