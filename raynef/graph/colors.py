"""The color graph of KNN matting: pixels of like color and place (Eq. 1, arXiv:2205.07839)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.sparse
from scipy.spatial import KDTree

COLOR_NEIGHBORS = ((20, 2.0), (10, 0.1))
"""(k, distance weight) of the published code, which has them from PyMatting."""


def color_affinity(
    image: np.ndarray,
    *,
    neighbors: Sequence[tuple[int, float]] = COLOR_NEIGHBORS,
    space: Literal["hsv", "rgb"] = "hsv",
    workers: int = 1,
) -> scipy.sparse.csr_array:
    """W_knn(u, v) = max(0, 1 - ‖ψ(u) - ψ(v)‖) for the nearest neighbors v of u, symmetrized.

    ψ = (cos h, sin h, s, v, w·x, w·y), or (r, g, b, w·x, w·y); x and y run from 0 to 1. The graphs
    of all (k, w) are added, and A becomes (A + Aᵀ)/2. No node is its own neighbor.

    Args:
        image: [h, w, 3] in [0, 1].
        neighbors: pairs (k, w); k is capped at h·w - 1.
        workers: threads of the search; one where tasks share the cores.

    Returns:
        float64 [h·w, h·w], symmetric.
    """
    height, width, _ = image.shape
    size = height * width
    colors = (_hsv(image) if space == "hsv" else image).reshape(size, -1).astype(np.float64)
    rows, columns = np.indices((height, width)).reshape(2, -1)
    place = np.stack([columns / max(1, width - 1), rows / max(1, height - 1)], axis=1)
    total = scipy.sparse.csr_array((size, size), dtype=np.float64)
    for k, weight in neighbors:
        points = np.concatenate([colors, weight * place], axis=1)
        edges, distance = _nearest(points, min(k, size - 1), workers)
        weights = np.maximum(0, 1 - distance)
        total = total + scipy.sparse.csr_array((weights, edges), shape=(size, size))
    symmetric = ((total + total.T) / 2).tocsr()
    symmetric.eliminate_zeros()
    return symmetric


def _nearest(
    points: np.ndarray, k: int, workers: int
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Directed edges to the k nearest others: (rows, columns) and distances, k for each point."""
    size = len(points)
    if k < 1:
        none = np.empty(0, np.int32)
        return (none, none), np.empty(0)
    distance, found = KDTree(points).query(points, k=k + 1, workers=workers)
    # Where many points coincide, a point may not be among its own nearest: then the last goes.
    drop = found == np.arange(size)[:, None]
    drop[~drop.any(axis=1), -1] = True
    rows = np.arange(size, dtype=np.int32)  # a sum of graphs keeps the widest indices
    return (np.repeat(rows, k), found[~drop].astype(np.int32)), distance[~drop]


def _hsv(image: np.ndarray) -> np.ndarray:
    """(cos h, sin h, s, v) of RGB in [0, 1]; gray has hue 0. [h, w, 3] -> [h, w, 4]."""
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    value, lowest = image.max(axis=-1).astype(np.float64), image.min(axis=-1)
    chroma = value - lowest
    safe = np.where(chroma > 0, chroma, 1)
    sixths = np.select(
        [chroma <= 0, value == red, value == green],
        [0.0, ((green - blue) / safe) % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    )
    angle = sixths * (np.pi / 3)
    saturation = np.where(value > 0, chroma / np.where(value > 0, value, 1), 0)
    return np.stack([np.cos(angle), np.sin(angle), saturation, value], axis=-1)
