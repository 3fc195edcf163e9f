"""Clusters as a tree: which of them to merge first, found without a label.

Ward's criterion (1963) on the clusters' mean features: merging a and b costs what it adds to the
sum of squares within clusters, |a||b| / (|a| + |b|) · ‖m_a − m_b‖². Clusters that touch in images
more often than chance would have it cost more: what lies side by side is two things, the cow and
its grass (docs/research/tree.md).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

TOUCH = 0.25
"""Of ``agglomerate``, as it was best on three data sets."""


@dataclass(frozen=True)
class ClusterTree:
    """An agglomerative tree over K clusters.

    Attributes:
        sizes: patches of each cluster, int64 [K].
        merges: the two nodes that each step joins, int64 [K − 1, 2]; below K a cluster, and K + i
            what step i made.
        heights: of each step, float64 [K − 1], never falling; 1 at the root.
    """

    sizes: np.ndarray
    merges: np.ndarray
    heights: np.ndarray

    @property
    def num_clusters(self) -> int:
        """K."""
        return len(self.sizes)

    def cut(self, count: int) -> np.ndarray:
        """The group of each cluster where ``count`` groups are left, int64 [K]; 0 is the largest.

        Raises:
            ValueError: fewer than 1 or more than K.
        """
        if not 1 <= count <= self.num_clusters:
            raise ValueError(f"a tree of {self.num_clusters} clusters has no cut into {count}")
        group = np.arange(self.num_clusters)
        for step, (first, second) in enumerate(self.merges[: self.num_clusters - count]):
            group[(group == first) | (group == second)] = self.num_clusters + step
        kept, member = np.unique(group, return_inverse=True)
        total = np.bincount(member, weights=self.sizes, minlength=len(kept))
        rank = np.argsort(np.argsort(-total, kind="stable"), kind="stable")
        return rank[member].astype(np.int64)

    def leaves(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The clusters in the order of the tree's leaves, int64 [K]: near ones are neighbors.

        With ``weights`` of the clusters [K] the heavier side of each merge is first.
        """
        heavy = np.zeros(self.num_clusters) if weights is None else weights
        order, total = [[k] for k in range(self.num_clusters)], heavy.tolist()
        pairs: list[list[int]] = self.merges.tolist()
        for first, second in pairs:
            if total[second] > total[first]:
                first, second = second, first
            order.append(order[first] + order[second])
            total.append(total[first] + total[second])
        return np.array(order[-1], dtype=np.int64)

    def plain(self) -> dict[str, Any]:
        """For JSON; ``of_plain`` reads it."""
        return {
            "sizes": self.sizes.tolist(),
            "merges": self.merges.tolist(),
            "heights": [float(f"{height:.4g}") for height in self.heights],
        }

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> "ClusterTree":
        """What ``plain`` gave.

        Raises:
            KeyError, TypeError, ValueError: something else.
        """
        sizes = np.array(plain["sizes"], dtype=np.int64)
        merges = np.array(plain["merges"], dtype=np.int64).reshape(-1, 2)
        heights = np.array(plain["heights"], dtype=np.float64)
        num = len(sizes)
        steps = np.arange(num - 1)
        if sizes.ndim != 1 or not num or len(merges) != num - 1 or len(heights) != num - 1:
            raise ValueError(f"a tree of {num} clusters with {len(merges)} merges")
        if (
            sorted(merges.ravel().tolist()) != list(range(2 * num - 2))
            or (merges.max(axis=1, initial=-1) >= num + steps).any()
        ):
            raise ValueError("merges that are no tree")
        return cls(sizes, merges, heights)


def agglomerate(
    means: np.ndarray, sizes: np.ndarray, touches: np.ndarray, *, touch: float = TOUCH
) -> ClusterTree:
    """The tree of some clusters.

    Args:
        means: feature of each, float [K, D].
        sizes: patches of each, [K]; one without a patch joins its nearest at no cost.
        touches: pairs of neighboring patches of two clusters, symmetric [K, K]; the diagonal counts
            those within one.
        touch: how much touching counts: a cost is multiplied by (1 + lift)^touch, with lift the
            touches over those that chance would give; 0: Ward's criterion alone.
    """
    num = len(means)
    means, counts, beside = (np.array(x, dtype=np.float64) for x in (means, sizes, touches))
    alive, node = np.ones(num, dtype=bool), np.arange(num)
    merges, heights = np.zeros((num - 1, 2), dtype=np.int64), np.zeros(num - 1)
    cost = np.stack([_costs(i, means, counts, beside, touch) for i in range(num)])
    np.fill_diagonal(cost, np.inf)
    for step in range(num - 1):
        # The first of equal costs, so that a tree follows from its input alone.
        i, j = divmod(int(cost.argmin()), num)
        i, j = min(i, j), max(i, j)
        merges[step], heights[step] = sorted((node[i], node[j])), cost[i, j]
        together = counts[i] + counts[j]
        if together:
            means[i] = (counts[i] * means[i] + counts[j] * means[j]) / together
        counts[i], counts[j] = together, 0
        beside[i] += beside[j]
        beside[:, i] += beside[:, j]
        beside[j], beside[:, j] = 0, 0
        alive[j], node[i] = False, num + step
        cost[j], cost[:, j] = np.inf, np.inf
        row = np.where(alive, _costs(i, means, counts, beside, touch), np.inf)
        row[i] = np.inf
        cost[i], cost[:, i] = row, row
    heights = np.sqrt(np.maximum.accumulate(heights))
    return ClusterTree(
        np.asarray(sizes, dtype=np.int64), merges, heights / max(heights.max(initial=0), 1e-300)
    )


def _costs(
    i: int, means: np.ndarray, counts: np.ndarray, beside: np.ndarray, touch: float
) -> np.ndarray:
    """Of merging node i with each, [K]."""
    ward = counts[i] * counts / np.maximum(counts[i] + counts, 1)
    cost = ward * np.square(means - means[i]).sum(axis=1)
    if not touch:
        return cost
    degrees, total = beside.sum(axis=1), max(float(beside.sum()), 1.0)
    lift = beside[i] * total / np.maximum(degrees[i] * degrees, 1)
    return cost * (1 + lift) ** touch
