"""K-means against a slow, obvious twin, and on planted clusters."""

import faiss
import numpy as np
import pytest
import torch

from raynef.assign.kmeans import find_centroids, members, moved
from raynef.core.errors import UserError
from raynef.models.heads import from_centroids


def planted(seed=0, *, num=4, each=50, dim=6, spread=0.05):
    rng = np.random.default_rng(seed)
    centers = np.eye(num, dim) * 3
    points = np.repeat(centers, each, axis=0) + spread * rng.standard_normal((num * each, dim))
    return points[rng.permutation(len(points))].astype(np.float32), centers


def twin_step(points, centroids):
    """One Lloyd step, point by point."""
    groups = {k: [] for k in range(len(centroids))}
    for point in points:
        groups[int(np.argmin([np.sum((point - c) ** 2) for c in centroids]))].append(point)
    return np.array([np.mean(g, axis=0) if g else centroids[k] for k, g in groups.items()])


def test_finds_planted_clusters():
    points, centers = planted()
    found = find_centroids(points, 4, iterations=20, seed=1)
    nearest = np.linalg.norm(found[:, None] - centers[None], axis=2).argmin(axis=1)
    assert sorted(nearest) == [0, 1, 2, 3]
    assert np.linalg.norm(found - centers[nearest], axis=1).max() < 0.1


def test_follows_from_its_seed():
    points = np.random.default_rng(0).standard_normal((300, 5))
    runs = [find_centroids(points, 20, iterations=3, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def spread_of(points, centroids):
    return np.square(points[:, None] - centroids[None]).sum(axis=2).min(axis=1).sum()


def test_more_iterations_and_more_starts_fit_better():
    points, _ = planted(num=12, each=30, dim=12, spread=0.4)
    spreads = {
        (iterations, starts): spread_of(
            points, find_centroids(points, 12, iterations=iterations, seed=3, starts=starts)
        )
        for iterations, starts in ((1, 1), (30, 1), (30, 10))
    }
    assert spreads[30, 1] < 0.99 * spreads[1, 1]
    assert spreads[30, 10] < 0.9 * spreads[30, 1]  # one start misses some of the groups


def test_all_points_are_seen():
    """Converged centers are the means of all their points: a Lloyd step moves none."""
    points, _ = planted(1, spread=0.5)
    found = find_centroids(points, 4, iterations=50, seed=0)
    np.testing.assert_allclose(twin_step(points, found), found, atol=1e-4)


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_the_closing_pass_is_a_lloyd_step_over_all_parts(parts):
    points, _ = planted(3)
    centroids = np.vstack([points[:5], np.full((1, 6), 100.0)]).astype(np.float32)  # one is empty
    total = members(points[:0], centroids)
    for part in np.array_split(points, parts):
        total.add(members(part, centroids))
    np.testing.assert_allclose(moved(centroids, total), twin_step(points, centroids), atol=1e-5)
    assert total.counts.sum() == len(points)
    distances = np.square(points[:, None] - centroids[None]).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(total.inertia, distances.sum(), rtol=1e-4)


def test_cosine_keeps_directions():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((200, 6)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = find_centroids(points, 5, iterations=5, seed=0, cosine=True)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    after = moved(found, members(points, found), cosine=True)
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1, atol=1e-5)


def test_the_head_of_centroids_chooses_the_nearest_also_after_interpolation():
    generator = torch.Generator().manual_seed(0)
    centroids = torch.randn(9, 6, generator=generator)
    taps = torch.randn(2, 3, 16, 6, generator=generator)
    head = from_centroids(centroids)
    distances = torch.cdist(taps[:, -1], centroids).square()
    logits = head(taps)
    assert torch.equal(logits.argmax(dim=-1), distances.argmin(dim=-1))
    up = [
        torch.nn.functional.interpolate(
            maps.transpose(1, 2).unflatten(2, (4, 4)), scale_factor=4, mode="bilinear"
        ).argmax(dim=1)
        for maps in (logits, -distances)
    ]
    assert torch.equal(*up)


def test_it_leaves_threads_as_they_are(one_thread):
    """Torch and faiss may share one OpenMP, and sums depend on how they are cut for threads."""
    faiss.omp_set_num_threads(3)
    torch.set_num_threads(2)
    before = faiss.omp_get_max_threads()
    find_centroids(np.random.default_rng(0).random((40, 4)), 3, iterations=2, seed=0)
    assert (faiss.omp_get_max_threads(), torch.get_num_threads()) == (before, 2)


def test_mistakes():
    with pytest.raises(UserError, match="5 clusters in 3 patches"):
        find_centroids(np.zeros((3, 2)), 5, iterations=1, seed=0)
    with pytest.raises(UserError, match="NaN"):
        find_centroids(np.full((9, 2), np.nan), 5, iterations=1, seed=0)
