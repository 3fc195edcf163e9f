"""Where the truth has edges: what lies near them is scored apart from what lies within a region."""

import numpy as np
from scipy.ndimage import maximum_filter


def near_edges(label: np.ndarray, distance: int) -> np.ndarray:
    """Pixels at most ``distance`` from an edge of a label, int [H, W] -> bool [H, W] (a trimap).

    An edge lies between two neighbors, side by side or one above the other, with different values;
    both are at distance 1, and an ignored value is one too. Distance counts the larger of rows and
    columns.
    """
    edges = np.zeros(label.shape, dtype=np.uint8)
    down, across = label[1:] != label[:-1], label[:, 1:] != label[:, :-1]
    edges[1:] |= down
    edges[:-1] |= down
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    return maximum_filter(edges, size=2 * distance - 1).astype(bool)
