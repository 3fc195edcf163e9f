"""K-means: faiss' for many points, SciPy's for the nodes or pixels of one image.

Of many points, centers are found on a sample, then moved once to the means of all.
"""

import contextlib
import warnings
from collections.abc import Generator
from dataclasses import dataclass

import faiss
import numpy as np
import torch
from scipy.cluster.vq import kmeans2, vq

from raynef.assign.sums import sums_of_groups
from raynef.core.devices import allows_cuda
from raynef.core.draws import seed_of
from raynef.core.errors import UserError


@dataclass
class Members:
    """Running sums over the patches of each center, of which the means are made."""

    sums: np.ndarray  # [K, D] float64
    counts: np.ndarray  # [K] int64
    inertia: float  # sum of squared distances to the centers

    def add(self, other: "Members") -> None:
        """Take the patches of another in."""
        self.sums += other.sums
        self.counts += other.counts
        self.inertia += other.inertia


def find_centroids(
    points: np.ndarray,
    num_clusters: int,
    *,
    iterations: int,
    seed: int,
    cosine: bool = False,
    starts: int = 1,
) -> np.ndarray:
    """Lloyd's algorithm on all the points given, on a GPU where faiss sees one.

    On the CPU with as many threads as torch has.

    Args:
        points: [M, D]; for ``cosine`` of unit length.
        num_clusters: K.
        seed: of the first centers, which are points.
        cosine: keep the centers at unit length.
        starts: times that it is run; the best is kept.

    Returns:
        Centers, float32 [K, D].

    Raises:
        UserError: fewer points than clusters, or points that are not finite.
    """
    if len(points) < num_clusters:
        raise UserError(
            f"K-means cannot find {num_clusters} clusters in {len(points)} patches; lower "
            "eigen.num_eigenfunctions or raise kmeans.max_points"
        )
    points = np.ascontiguousarray(points, dtype=np.float32)
    if not np.isfinite(points).all():
        raise UserError("K-means: the features hold NaN or infinity")
    kmeans = faiss.Kmeans(
        points.shape[1],
        num_clusters,
        niter=iterations,
        nredo=starts,
        seed=seed_of("kmeans", seed) % (1 << 31),
        spherical=cosine,
        gpu=allows_cuda() and bool(getattr(faiss, "get_num_gpus", int)()),
        min_points_per_centroid=1,  # no warning about few points …
        max_points_per_centroid=len(points),  # … and no sample of a sample
    )
    with _torchs_threads():
        kmeans.train(points)
    return np.array(kmeans.centroids, dtype=np.float32)


@contextlib.contextmanager
def _torchs_threads() -> Generator[None]:
    """As many of OpenMP for faiss as torch has; torch's are these, or others, as they were."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def tightest_clusters(
    points: np.ndarray,
    num_clusters: int,
    *,
    iterations: int,
    starts: int,
    draws: np.random.Generator,
    everyone: np.ndarray | None = None,
) -> np.ndarray:
    """The cluster of each of a few points [M, D], of several runs of k-means++ the tightest.

    Some of the K clusters may get no point. Where ``everyone``, points [N, D], is given, these are
    clustered by the centers that are found on ``points``.
    """
    best, least = np.zeros(len(points if everyone is None else everyone), dtype=np.int64), np.inf
    for _ in range(starts):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a center without a point
            centers, nearest = kmeans2(
                points, num_clusters, iter=iterations, minit="++", rng=draws, check_finite=True
            )
        if everyone is None:
            inertia = float(np.square(points - centers[nearest]).sum())
        else:
            nearest, distances = vq(everyone, centers)
            inertia = float(np.square(distances).sum())
        if inertia < least:
            best, least = nearest, inertia
    return best


def members(points: np.ndarray, centroids: np.ndarray) -> Members:
    """Sums and counts of the points [M, D] nearest to each of the centers [K, D]."""
    points = np.asarray(points, dtype=np.float32)
    distances = _distances(points, centroids)
    nearest = distances.argmin(axis=1)
    sums = sums_of_groups(points, nearest, len(centroids))
    inertia = distances[np.arange(len(points)), nearest].sum() + np.square(points).sum()
    counts = np.bincount(nearest, minlength=len(centroids))
    return Members(sums, counts, float(inertia))


def nearest_centroids(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The nearest of K centers for each point, int64 [M]: [M, D] and [K, D]."""
    return _distances(points, centroids).argmin(axis=1)


def moved(centroids: np.ndarray, found: Members, *, cosine: bool = False) -> np.ndarray:
    """Centers moved to the means of their members; one without members stays where it is."""
    means = found.sums / np.maximum(found.counts, 1)[:, None]
    result = np.where(found.counts[:, None] > 0, means, centroids)
    return (unit_length(result) if cosine else result).astype(np.float32)


def unit_length(points: np.ndarray) -> np.ndarray:
    """Points [M, D] at unit length; one at 0 stays there."""
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(lengths > 0, lengths, 1)


def _distances(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Squared distances of points [M, D] to centers [K, D], less each point's own ‖h‖²: [M, K]."""
    return np.square(centroids).sum(axis=1) - 2 * points @ centroids.T
