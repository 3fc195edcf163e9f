"""Segments of one image, and which of them is its background (arXiv:2205.07839, Sec. 3.5)."""

from typing import Literal

import numpy as np

from raynef.assign.kmeans import tightest_clusters

_ITERATIONS, _STARTS = 30, 5


def cluster_nodes(values: np.ndarray, num_segments: int, *, seed: int) -> np.ndarray:
    """K-means over the nodes of one image, each segment one number: int32 [h, w], from 0 on.

    Args:
        values: of each node, such as its eigenvectors, [h, w, m].
        num_segments: k; capped at the nodes that differ. Segments without a node are left out, so
            that the numbers have no gaps.
        seed: of the first centers.
    """
    height, width, size = values.shape
    points = np.ascontiguousarray(values.reshape(-1, size), dtype=np.float32)
    scale = np.abs(points).max()
    points = points / scale if scale > 0 else points  # float32 squares of small entries vanish
    count = min(num_segments, len(np.unique(points, axis=0)))
    if count == 1:
        return np.zeros((height, width), dtype=np.int32)
    draws = np.random.default_rng(seed)
    best = tightest_clusters(points, count, iterations=_ITERATIONS, starts=_STARTS, draws=draws)
    return np.unique(best, return_inverse=True)[1].astype(np.int32).reshape(height, width)


def background_segment(segments: np.ndarray, rule: Literal["border", "largest"]) -> int:
    """The segment that is the background: with the most border nodes, or the most nodes.

    ``segments``: [h, w], from 0 on; of equal ones the first.
    """
    if rule == "largest":
        return int(np.bincount(segments.ravel()).argmax())
    inside = np.ones(segments.shape, dtype=bool)
    inside[1:-1, 1:-1] = False
    return int(np.bincount(segments[inside], minlength=int(segments.max()) + 1).argmax())
