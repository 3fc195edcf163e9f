"""Labels of a STORE's images as files, counted and scored against ground-truth labels."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raynef.assign.contingency import contingency
from raynef.assign.matching import Criterion
from raynef.images.datasets.imageset import ImageFile, LabelCodes, require_labels
from raynef.images.geometry import require_size
from raynef.images.oriented import read_truth
from raynef.jobs.results import class_names, name_and_score
from raynef.jobs.spectral.eigen import Solved
from raynef.stores.label_files import write_labels
from raynef.work.units import ImageUnit

_CLASSES = 256  # counted where a data set names none


@dataclass(frozen=True)
class LabelFolder:
    """Where labels go, and how they are counted.

    Attributes:
        path: the folder.
        shape: labels and classes, (L, C).
        codes: of the data set's ground-truth labels.
        counted: whether there are such labels.
    """

    path: Path
    shape: tuple[int, int]
    codes: LabelCodes
    counted: bool

    def write(self, unit: ImageUnit, maps: Iterable[np.ndarray]) -> np.ndarray:
        """Write the labels of a unit's images, int [H, W] each; their counts, int64 [L, C]."""
        table = np.zeros(self.shape, dtype=np.int64)
        for file, name, labels in zip(unit.files, unit.outputs, maps, strict=True):
            write_labels(self.path / name, labels)
            if self.counted:
                table += count_pixels(labels.astype(np.int64), file, self.codes, self.shape)
        return table

    def scores(
        self, solved: Solved, tables: Iterable[np.ndarray], criterion: Criterion
    ) -> dict[str, Any]:
        """The scores of all units' counts; of no labels none."""
        table = sum(tables, np.zeros(self.shape, dtype=np.int64))
        return scores_of(solved, table, criterion) if self.counted else {"miou": None}


def label_folder(solved: Solved, path: Path, num_labels: int) -> LabelFolder:
    """For the labels of a STORE's images. Raises UserError where some ground truth is missing."""
    counted = all(file.label for file in solved.images.files)
    if counted:
        require_labels(solved.images)
    shape = (num_labels, len(solved.images.class_names) or _CLASSES)
    return LabelFolder(path, shape, solved.images.label_codes, counted)


def count_pixels(
    labels: np.ndarray, file: ImageFile, codes: LabelCodes, shape: tuple[int, int]
) -> np.ndarray:
    """Pixels of label against class of one image, int64 [L, C].

    Raises UserError where the ground-truth label is of another size, or holds what is no class.
    """
    truth = read_truth(file, codes)
    require_size("label", file.name, truth, labels)
    return contingency(labels, truth, num_clusters=shape[0], num_classes=shape[1], name=file.name)


def scores_of(solved: Solved, table: np.ndarray, criterion: Criterion) -> dict[str, Any]:
    """mIoU and accuracy with labels matched one to one, and by majority: table [L, C].

    The matching of paper and code (arXiv:2205.07839) maximizes IoU: ``criterion``.
    """
    names = class_names(solved.images, table[None])
    table = table[:, : len(names)]
    hungarian = name_and_score(table, table, names, "hungarian", criterion=criterion).scores
    majority = name_and_score(table, table, names, "iou").scores
    return {
        "miou": hungarian["miou"],
        "accuracy": hungarian["accuracy"],
        "miou_majority": majority["miou"],
        "accuracy_majority": majority["accuracy"],
        "per_class_iou": hungarian["per_class_iou"],
    }
