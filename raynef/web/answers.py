"""What a segmented image is answered with: a PNG of ids, or its segments as JSON."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from raynef.assign.tree import ClusterTree
from raynef.core.errors import UserError
from raynef.io.files import json_text
from raynef.jobs.results import told_by_captions
from raynef.models.folder import Mapping
from raynef.models.segmenter import Segmenter
from raynef.stores.formats.regions import run_lengths
from raynef.stores.label_files import UNLABELED, encode_labels, segmenter_legend

Format = Literal["png", "json"]
Labels = Literal["clusters", "classes"]
MEDIA_TYPES: dict[Format, str] = {"png": "image/png", "json": "application/json"}


@dataclass(frozen=True)
class Wanted:
    """What is asked about an image.

    Attributes:
        format: of the answer.
        labels: what the ids are.
        cut: groups that the clusters are merged into; None for the clusters themselves.
        masks: JSON with the mask of each segment.
    """

    format: Format = "png"
    labels: Labels = "clusters"
    cut: int | None = None
    masks: bool = True


@dataclass(frozen=True)
class Answer:
    """The bytes of an answer, and how many images were segmented at once for it."""

    body: bytes
    batch_size: int


@dataclass(frozen=True)
class Refusal:
    """No answer: a status of HTTP, and why."""

    status: int
    reason: str


@dataclass(frozen=True)
class Meaning:
    """What the clusters of a segmenter stand for.

    Attributes:
        num_clusters: K.
        classes: of the clusters; None where they have no names.
        tree: over the clusters; None where there is none.
        note: what the legend says besides, where captions of images told any class.
    """

    num_clusters: int
    classes: Mapping | None
    tree: ClusterTree | None
    note: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, segmenter: Segmenter) -> "Meaning":
        """That of a segmenter."""
        note = told_by_captions(segmenter)
        return cls(segmenter.num_clusters, segmenter.classes, segmenter.tree, note)

    def labels(self, asked: Labels | None, cut: int | None) -> Labels:
        """What ids are: as asked, else classes where clusters have names and none are merged.

        Raises:
            UserError: classes where there are no names, or a cut that the tree does not have.
        """
        if cut is not None:
            self.require_cut(cut)
        if asked == "classes" and self.classes is None:
            raise UserError("labels=classes: the clusters have no names (raynef name gives them)")
        named = self.classes is not None and cut is None
        return asked or ("classes" if named else "clusters")

    def require_cut(self, cut: int) -> None:
        """Raise UserError where the clusters cannot be merged into so many groups."""
        if self.tree is None:
            raise UserError("cut: this segmenter has no tree over its clusters")
        if not 1 <= cut <= self.num_clusters:
            raise UserError(f"cut must be 1 to {self.num_clusters}, got {cut}")

    def legend(self, cut: int | None = None) -> dict[str, Any]:
        """What ids and colors mean, as ``legend.json`` of ``raynef predict``."""
        return {**segmenter_legend(self.num_clusters, self.classes, cut), **self.note}

    def ids(self, wanted: Wanted) -> np.ndarray:
        """The id of each cluster, int32 [K]: its group, itself, or its class, -1 for none."""
        if wanted.labels == "classes" and self.classes is not None:
            return np.asarray(self.classes.classes, np.int32)
        if wanted.cut is not None and self.tree is not None:
            return self.tree.cut(wanted.cut).astype(np.int32)
        return np.arange(self.num_clusters, dtype=np.int32)


def encode(clusters: np.ndarray, wanted: Wanted, meaning: Meaning) -> bytes:
    """The body of an answer: PNGs as ``raynef predict`` writes them, or JSON.

    Args:
        clusters: uint16 [H, W].
        wanted: of what there is: see ``Meaning.labels``.
        meaning: of the clusters.
    """
    ids = meaning.ids(wanted)
    if wanted.format == "json":
        return json_text(_described(ids[clusters], wanted, meaning)).encode()
    if wanted.labels == "classes":
        values = np.where(ids < 0, UNLABELED, ids)[clusters]
        return encode_labels(values, wide=False, unlabeled=UNLABELED)
    return encode_labels(ids[clusters], wide=(wanted.cut or meaning.num_clusters) >= 256)


def _described(labels: np.ndarray, wanted: Wanted, meaning: Meaning) -> dict[str, Any]:
    """The segments of an image, the largest first; labels are int [H, W], -1 for none."""
    entries = meaning.legend(wanted.cut)[wanted.labels]
    height, width = labels.shape
    segments: list[dict[str, Any]] = []
    for index in np.unique(labels[labels >= 0]).tolist():
        mask = labels == index
        entry, area = entries[index], int(np.count_nonzero(mask))
        segment: dict[str, Any] = {
            "id": index,
            "name": entry.get("name", entry.get("class")),
            "color": entry["color"],
            "area": area,
            "share": area / labels.size,
        }
        if wanted.masks:
            # COCO's uncompressed run lengths: down the columns, one after another.
            counts = run_lengths(mask.ravel(order="F")).tolist()
            segment["segmentation"] = {"size": [height, width], "counts": counts}
        segments.append(segment)
    segments.sort(key=lambda segment: -segment["area"])
    return {"width": width, "height": height, "labels": wanted.labels, "segments": segments}
