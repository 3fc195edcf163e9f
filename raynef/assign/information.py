"""How much two labelings of the same patches say of each other."""

import numpy as np


def mutual_information(first: np.ndarray, second: np.ndarray, num_clusters: int) -> float:
    """Of two maps of clusters of the same shape, int in [0, K), in bits: 0 to log₂ K."""
    codes = first.ravel().astype(np.int64) * num_clusters + second.ravel()
    joint = np.bincount(codes, minlength=num_clusters**2).reshape(num_clusters, -1) / codes.size
    return entropy(joint.sum(axis=0)) + entropy(joint.sum(axis=1)) - entropy(joint)


def entropy(shares: np.ndarray) -> float:
    """Of shares that sum to 1, in bits."""
    kept = shares[shares > 0]
    return float(-(kept * np.log2(kept)).sum())
