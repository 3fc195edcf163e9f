"""LOST: a seed and the patches that are like it (Siméoni et al., arXiv:2109.14279).

The object is small, so its patches correlate with few others: the patch with the fewest positive
correlations is the seed; of the next such ones those that correlate with it join; what correlates
with them on average is the object, and its box goes around the part that holds the seed.
"""

import numpy as np
from scipy import ndimage

_LARGEST_SEEDS = 100  # the paper's k: patches of low degree that may join the seed


def lost_mask(features: np.ndarray, num_seeds: int = _LARGEST_SEEDS) -> np.ndarray:
    """The object's patches, bool [h, w], of features [h, w, D] that are not normalized.

    ``num_seeds`` patches of low degree, the seed among them, may join.
    """
    height, width, dim = features.shape
    rows = features.reshape(-1, dim).astype(np.float64)
    similar = rows @ rows.T
    degrees = (similar >= 0).sum(axis=1)
    low = np.argsort(degrees, kind="stable")[:num_seeds]
    seed = low[0]
    joined = low[similar[seed, low] >= 0]
    mask = (similar[joined].sum(axis=0) >= 0).reshape(height, width)
    labels = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=labels)
    own = labels.ravel()[seed]
    if own == 0:  # the seed is unlike what joined it
        alone = np.zeros(height * width, dtype=bool)
        alone[seed] = True
        return alone.reshape(height, width)
    return labels == own
