"""Clusters to classes, and the scores of a matching, all from one contingency table."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

UNMATCHED = -1
Criterion = Literal["iou", "count"]
"""What a one-to-one matching maximizes: the sum of IoU, or of pixels."""


@dataclass(frozen=True)
class Scores:
    """How well matched clusters agree with the labels, 0 to 1."""

    accuracy: float  # share of the scored pixels whose cluster's class is their own
    miou: float  # mean IoU over the classes that occur in the labels
    iou: np.ndarray  # per class [C]; NaN for a class that does not occur


def match(
    table: np.ndarray,
    method: Literal["iou", "count", "hungarian"],
    *,
    criterion: Criterion = "count",
) -> np.ndarray:
    """The class of each cluster, int64 [K]; ``UNMATCHED`` for a cluster without one.

    ``iou``: the class with the largest IoU with the cluster (majority vote, as published);
    ``count``: the class with the most pixels; ``hungarian``: one cluster a class, the best of the
    ``criterion`` in all. A cluster without a scored pixel is unmatched.

    Args:
        table: pixels of cluster against class, [K, C].
        criterion: of ``hungarian``: ``count`` as in ReCo's protocol (arXiv:2304.02841), ``iou`` as
            in the code of Deep Spectral Methods (arXiv:2205.07839).
    """
    table = values = np.asarray(table, dtype=np.int64)
    if (criterion if method == "hungarian" else method) == "iou":
        union = table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True) - table
        values = table / np.maximum(union, 1)
    if method == "hungarian":
        classes = np.full(table.shape[0], UNMATCHED, dtype=np.int64)
        rows, columns = linear_sum_assignment(values, maximize=True)
        classes[rows] = columns
    else:
        classes = values.argmax(axis=1)
    classes[table.sum(axis=1) == 0] = UNMATCHED
    return classes


def score(table: np.ndarray, classes: np.ndarray) -> Scores:
    """Scores of the matching ``classes`` [K] on ``table`` [K, C].

    Pixels of an unmatched cluster are errors of their true class and predictions of none.
    """
    table = np.asarray(table, dtype=np.int64)
    num_classes = table.shape[1]
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)  # predicted × true
    matched = classes != UNMATCHED
    np.add.at(confusion, classes[matched], table[matched])
    correct = np.diag(confusion)
    truth, predicted = table.sum(axis=0), confusion.sum(axis=1)
    union = truth + predicted - correct
    iou = np.where(truth > 0, correct / np.maximum(union, 1), np.nan)
    total = int(truth.sum())
    return Scores(
        accuracy=float(correct.sum() / total) if total else float("nan"),
        miou=float(np.nanmean(iou)) if total else float("nan"),
        iou=iou,
    )
