"""Names for clusters out of what texts say of patches: averages, and which of them are clear."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClusterScores:
    """What C classes score in K clusters.

    Attributes:
        sums: of the probabilities of each class over the points of each cluster, float64 [K, C].
        counts: points of each cluster, float64 [K].
    """

    sums: np.ndarray
    counts: np.ndarray

    @classmethod
    def empty(cls, num_clusters: int, num_classes: int) -> "ClusterScores":
        """Of no image."""
        return cls(np.zeros((num_clusters, num_classes)), np.zeros(num_clusters))

    @classmethod
    def of_image(
        cls, clusters: np.ndarray, probabilities: np.ndarray, num_clusters: int
    ) -> "ClusterScores":
        """Of one image, whose clusters lie on a finer grid than its probabilities.

        Args:
            clusters: integers [s·h, s·w], for a whole number s.
            probabilities: of each class, [h, w, C].
            num_clusters: K.
        """
        height, width, num_classes = probabilities.shape
        fine = clusters.shape[0] // height
        if clusters.shape != (fine * height, fine * width):
            raise ValueError(f"a map of {clusters.shape} lies on no grid of {height}x{width}")
        rows, columns = np.indices(clusters.shape)
        patches = rows // fine * width + columns // fine
        table = np.zeros((num_clusters, height * width))
        np.add.at(table, (clusters, patches), 1)
        return cls(table @ probabilities.reshape(-1, num_classes), table.sum(axis=1))

    def plus(self, other: "ClusterScores") -> "ClusterScores":
        """Of both."""
        return ClusterScores(self.sums + other.sums, self.counts + other.counts)


@dataclass(frozen=True)
class Proposal:
    """The class that fits a cluster best, and by how much.

    Attributes:
        cluster: its number.
        name: of the class.
        score: mean probability of the class over the cluster.
        margin: over the second best.
    """

    cluster: int
    name: str
    score: float
    margin: float


def propose(scores: ClusterScores, names: Sequence[str], *, margin: float) -> tuple[Proposal, ...]:
    """The best class of each cluster that stands out, in the order of the clusters.

    Args:
        scores: of the clusters.
        names: of the C classes, two or more.
        margin: that the best class must be above the second; a cluster below it, or without a
            point, gets no name.
    """
    found: list[Proposal] = []
    for cluster in np.flatnonzero(scores.counts).tolist():
        means = scores.sums[cluster] / scores.counts[cluster]
        second, best = (int(index) for index in np.argsort(means, kind="stable")[-2:])
        ahead = float(means[best] - means[second])
        if ahead >= margin:
            found.append(Proposal(cluster, names[best], float(means[best]), ahead))
    return tuple(found)
