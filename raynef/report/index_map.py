"""Which values an index map holds: clusters, classes or a label, one small integer a pixel.

Counted, where ``numpy.unique`` would sort all pixels: a page asks some hundred times.
"""

import numpy as np


def counts_of(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of a map of integers >= -1, ascending, and the pixels of each."""
    counts = np.bincount(index.ravel().astype(np.int64) + 1)
    (present,) = counts.nonzero()
    return present - 1, counts[present]


def places_of(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of a map of integers >= -1, ascending, and for each pixel which of them it has."""
    values, _ = counts_of(index)
    table = np.zeros(int(values.max(initial=-1)) + 2, dtype=np.int64)
    table[values + 1] = np.arange(len(values))
    return values, table[index.astype(np.int64) + 1]
