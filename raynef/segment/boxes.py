"""From an eigenvector to a mask and a box (arXiv:2205.07839, Secs. 3.3 and 3.4)."""

import numpy as np
from scipy import ndimage

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1), half-open."""


def foreground(vector: np.ndarray) -> np.ndarray:
    """Where an eigenvector [h, w] is above 0: bool [h, w].

    Signs are fixed where eigenpairs are made, so that this is the smaller side. Where it is above
    0 everywhere or nowhere (one node, identical nodes), it tells nothing apart: all is foreground.
    """
    mask = vector > 0
    return mask if mask.any() else np.ones_like(mask)


def fiedler_foreground(vectors: np.ndarray) -> np.ndarray:
    """The foreground of the first of [h, w, k] vectors that is not constant; all of one node."""
    if vectors.shape[-1] < 2:
        return np.ones(vectors.shape[:2], dtype=bool)
    return foreground(vectors[..., 1])


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest connected part (with diagonals) of a mask [h, w]; of equal ones the first."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=np.ones((3, 3)), output=labels)
    sizes = np.bincount(labels.ravel())
    if len(sizes) <= 2:
        return mask
    sizes[0] = 0
    return labels == sizes.argmax()


def box_around(mask: np.ndarray) -> Box:
    """The smallest box around a mask [h, w] with at least one node, in nodes."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


def expanded(box: Box, by: float, grid: tuple[int, int]) -> Box:
    """A box grown by so many nodes to each side, within a grid (h, w)."""
    return (
        max(0.0, box[0] - by),
        max(0.0, box[1] - by),
        min(float(grid[1]), box[2] + by),
        min(float(grid[0]), box[3] + by),
    )
