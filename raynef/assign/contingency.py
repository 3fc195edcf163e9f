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
        clusters: cluster of each pixel, int [H, W].
        label: class of each pixel, int [H, W]; ``ignore`` is not counted.
        num_clusters: K.
        num_classes: C.
        name: of the image, for the error.
        ignore: the label of pixels that are not scored.

    Raises:
        UserError: a label that is neither a class nor ``ignore``, naming both.
    """
    scored = label != ignore
    classes = label[scored].astype(np.int64)
    if classes.size and (classes.max() >= num_classes or classes.min() < 0):
        worst = classes.max() if classes.max() >= num_classes else classes.min()
        raise UserError(
            f"the label of {name} holds {worst}, but the data set has classes 0 to "
            f"{num_classes - 1} (and {ignore} = ignored)"
        )
    codes = clusters[scored].astype(np.int64) * num_classes + classes
    return np.bincount(codes, minlength=num_clusters * num_classes).reshape(
        num_clusters, num_classes
    )
