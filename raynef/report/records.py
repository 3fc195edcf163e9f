"""What a report is made of. Plain values: any run, saved or live, can be shown."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


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
class Report:
    """Everything on the page; empty parts are replaced by a line that names the command to run.

    ``steps`` holds one mapping per training step: step, epoch, loss, trace, penalty, tau, lr,
    clusters_in_use, entropy, columns_below_1; missing values are left out of the charts.
    ``evaluation`` holds miou, accuracy, per_class_iou {name: fraction or None}, num_images,
    protocol, matching, class_names, and where they apply crf {miou, accuracy}, supervised and
    labels_leaked. ``elsewhere`` holds the same of other data, with data {name, root}. ``skipped``
    holds {"name", "reason"} per skipped file. ``labels_leaked``: the run, or one that it started
    from, was trained on labels.
    """

    title: str
    summary: dict[str, str | float | int]
    recipe: dict[str, Any]
    environment: dict[str, Any]
    steps: list[dict[str, Any]]
    evaluation: dict[str, Any] | None
    gallery: list[GalleryItem]
    clusters: list[ClusterCard]
    skipped: list[dict[str, Any]]
    elsewhere: list[dict[str, Any]] = field(default_factory=list)
    labels_leaked: bool = False
