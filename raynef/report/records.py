"""What a report is made of. Plain values: any run, saved or live, can be shown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from raynef.assign.tree import ClusterTree


@dataclass(frozen=True)
class Picture:
    """One picture of a row: its name, and what it shows.

    ``pixels`` are uint8 [H, W, 3]; with ``colors``, uint8 [num_colors, 3], they are an index map
    int [H, W], -1 where there is none. ``alt`` stands for the name where that tells too little.
    """

    name: str
    about: str
    pixels: np.ndarray
    colors: np.ndarray | None = None
    alt: str = ""


@dataclass(frozen=True)
class Chip:
    """An entry of the legend below a row: a color as hexadecimal digits, or None, and its name."""

    color: str | None
    name: str
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One image of a gallery: its name, a few words on how it went, and its pictures."""

    name: str
    facts: str | None
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class GalleryItem:
    """One validation image with what was found in it.

    ``image`` uint8 [H, W, 3]; ``clusters`` int [H, W]; ``classes`` int [H, W], -1 where a cluster
    has no class; ``label`` int [H, W], 255 where nothing is labeled.
    """

    name: str
    image: np.ndarray
    clusters: np.ndarray
    classes: np.ndarray | None
    label: np.ndarray | None

    def __post_init__(self) -> None:
        size = self.image.shape[:2]
        for part in ("clusters", "classes", "label"):
            value = getattr(self, part)
            if value is not None and value.shape != size:
                raise ValueError(
                    f"gallery item {self.name!r}: {part} must be [H, W] = {list(size)} as the "
                    f"image, got {list(value.shape)}; resize it with nearest neighbors"
                )


@dataclass(frozen=True)
class ClusterCard:
    """One of the largest clusters.

    ``share`` of all patches and ``purity`` are fractions, 0 to 1; ``patches`` are image cut-outs
    uint8 [p, p, 3] around the patches that define the cluster, best first.
    """

    cluster: int
    share: float
    class_name: str | None
    purity: float | None
    patches: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Evaluation:
    """Scores on one data set; None where they were not measured."""

    miou: float | None = None  # like all scores here a fraction, 0 to 1
    accuracy: float | None = None
    crf_miou: float | None = None  # after a CRF, as ``crf_accuracy``
    crf_accuracy: float | None = None
    num_images: int | None = None
    protocol: str | None = None
    matching: str | None = None
    per_class_iou: Mapping[str, float | None] = field(default_factory=dict)  # by name; None: absent
    class_names: Mapping[int, str] = field(default_factory=dict)  # by index in the label files
    data: tuple[str, str] = ("?", "")  # name of the data set, and where it lies
    supervised: bool = False  # a layer was trained on labels
    labels_leaked: bool = False  # labels reached what was trained
    captions: str | None = None  # what captions of images trained, if anything

    def __post_init__(self) -> None:
        for name, iou in self.per_class_iou.items():
            if iou is not None and math.isfinite(iou) and not 0 <= iou <= 1:
                raise ValueError(
                    f"per_class_iou[{name!r}] must be a fraction, 0 to 1, got {iou}; divide "
                    "percents by 100"
                )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Evaluation":
        """Of ``evaluate.json``, where ``crf`` and ``data`` are mappings of their own."""
        crf, data = values.get("crf") or {}, values.get("data") or {}
        names = values.get("class_names") or []
        named = names.items() if isinstance(names, Mapping) else enumerate(names)
        plain = ("miou", "accuracy", "num_images", "protocol", "matching")
        return cls(
            **{key: values.get(key) for key in plain},
            crf_miou=crf.get("miou"),
            crf_accuracy=crf.get("accuracy"),
            per_class_iou=values.get("per_class_iou") or {},
            class_names={int(index): str(name) for index, name in named},
            data=(str(data.get("name", "?")), str(data.get("root", ""))),
            supervised=bool(values.get("supervised")),
            labels_leaked=bool(values.get("labels_leaked")),
            captions=values.get("captions"),
        )


@dataclass(frozen=True)
class SkippedFile:
    """A file that could not be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Command:
    """A command that can be pasted into a shell, and what it does."""

    about: str
    text: str


@dataclass(frozen=True)
class Report:
    """Everything on the page; empty parts are replaced by a line that names the command to run."""

    title: str
    summary: Mapping[str, str | float | int]  # numbers by the glossary's keys
    recipe: Mapping[str, Any]  # as plain values, likewise ``environment``
    environment: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]
    """As ``steps.jsonl`` has them: step, epoch, loss, trace, penalty, tau, lr, clusters_in_use,
    entropy, columns_below_1; missing values are left out of the charts."""
    evaluation: Evaluation | None
    gallery: Sequence[GalleryItem]  # validation images
    clusters: Sequence[ClusterCard]  # the largest
    skipped: Sequence[SkippedFile]  # files that are in no number
    elsewhere: Sequence[Evaluation] = ()  # scores on other data
    labels_leaked: bool = False  # the run, or one that it started from, was trained on labels
    captions: str | None = None  # what captions trained that told names of clusters, if anything
    tree: ClusterTree | None = None  # over all clusters
    cluster_names: Mapping[int, str] = field(default_factory=dict)  # by a person, else by labels
    class_names: Mapping[int, str] = field(default_factory=dict)
    """Of the gallery's classes by their index, where they are others than of ``evaluation``."""
    commands: Sequence[Command] = ()  # the one that made the run, then what may be next
