"""One K×C table of cluster against class, from which every score follows."""

import numpy as np

from raynef.core import IGNORE
from raynef.core.errors import UserError


def contingency(
    clusters: np.ndarray,
    label: np.ndarray,
    *,
    num_clusters: int,
    num_classes: int,
    name: str,
    ignore: int = IGNORE,
) -> np.ndarray:
    """Count the pixels of one image: int64 [K, C].

    Args:
        clusters: of each pixel, int, [H, W] or any other shape.
        label: class of each pixel, likewise; ``ignore``, >= 0, is not counted.
        name: of the image, for the error.

    Raises:
        UserError: a label that is neither a class nor ``ignore``, naming both.
    """
    lowest, highest = int(label.min(initial=0)), int(label.max(initial=0))
    if lowest < 0 or (highest >= num_classes and highest != ignore):
        raise _beyond(highest if lowest >= 0 else lowest, name, num_classes, ignore)
    # Every value of the label is counted, the ignored one too: cheaper than to select pixels twice.
    width = max(num_classes, highest + 1)
    codes = np.multiply(clusters, width, dtype=np.int64)
    codes += label
    counts = np.bincount(codes.ravel(), minlength=num_clusters * width)
    counts = counts.reshape(num_clusters, width)
    beyond = np.flatnonzero(counts[:, num_classes:].any(axis=0)) + num_classes
    beyond = beyond[beyond != ignore]
    if len(beyond):
        raise _beyond(int(beyond[-1]), name, num_classes, ignore)
    table = counts[:, :num_classes].copy()
    if ignore < num_classes:
        table[:, ignore] = 0
    return table


def _beyond(value: int, name: str, num_classes: int, ignore: int) -> UserError:
    return UserError(
        f"the label of {name} holds {value}, but the data set has classes 0 to {num_classes - 1} "
        f"(and {ignore} = ignored)"
    )
