"""Clusters of a spectral embedding by the nearest rotation (Yu and Shi, ICCV 2003, Sec. 4).

Rows of the embedding, of unit length, are turned so that they come near the axes; a row's cluster
is then its largest coordinate. There are as many clusters as eigenvectors.
"""

import numpy as np

from raynef.assign.sums import sums_of_groups


def nearest_rotation(rows: np.ndarray, *, seed: int, most: int = 100) -> np.ndarray:
    """The rotation R that brings unit rows [n, K] nearest to one-hot ones: [K, K] of float32.

    R and the one-hot rows X are found in turn, X from the largest coordinates of rows·R, R from the
    singular vectors of Xᵀ·rows, until their sum stops to grow. It starts from rows that are as
    orthogonal to each other as can be, the first of them drawn by ``seed``.

    Args:
        rows: of unit length, with n >= K.
        seed: of the first row.
        most: turns.
    """
    rows = np.asarray(rows, dtype=np.float32)
    width = rows.shape[1]
    rotation = np.zeros((width, width), dtype=np.float32)
    chosen, seen = int(np.random.default_rng(seed).integers(len(rows))), np.zeros(len(rows))
    for column in range(width):
        rotation[:, column] = rows[chosen]
        seen += np.abs(rows @ rotation[:, column])
        chosen = int(seen.argmin())
    before = 0.0
    for _ in range(most):
        nearest = (rows @ rotation).argmax(axis=1)
        sums = sums_of_groups(rows, nearest, width)
        left, sizes, right = np.linalg.svd(sums)
        rotation = (right.T @ left.T).astype(np.float32)
        total = float(sizes.sum())
        if total - before <= 1e-6 * total:
            break
        before = total
    return rotation
