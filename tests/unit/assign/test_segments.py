"""Segments of one image and its background."""

import numpy as np
import pytest

from raynef.assign import segments as segments_module
from raynef.assign.kmeans import nearest_centroids, unit_length
from raynef.assign.segments import background_segment, cluster_nodes


def planted():
    segments = np.zeros((12, 14), dtype=np.int64)
    segments[3:7, 2:6] = 1
    segments[7:11, 8:13] = 2
    centers = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]) * 1e-4  # eigenvectors are small
    noise = np.random.default_rng(0).normal(0, 1e-6, (12, 14, 3))
    return segments, centers[segments] + noise


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_segments_are_found(seed):
    truth, values = planted()
    found = cluster_nodes(values, 3, seed=seed)
    pairs = set(zip(truth.ravel().tolist(), found.ravel().tolist(), strict=True))
    assert len(pairs) == 3
    np.testing.assert_array_equal(found, cluster_nodes(values, 3, seed=seed))


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_the_scale_of_the_values_does_not_matter(scale):
    """Squares of these are 0 or infinite in float32."""
    _, values = planted()
    np.testing.assert_array_equal(
        cluster_nodes(values * scale, 3, seed=0), cluster_nodes(values, 3, seed=0)
    )


def test_the_tightest_of_several_starts_is_taken(monkeypatch):
    def spread_of(values, starts, seed):
        monkeypatch.setattr(segments_module, "_STARTS", starts)
        found = cluster_nodes(values, 8, seed=seed)
        groups = [values[found == s] for s in range(found.max() + 1)]
        return sum(np.square(group - group.mean(axis=0)).sum() for group in groups)

    values = np.random.default_rng(0).random((12, 14, 3))
    one, five = (np.array([spread_of(values, n, seed) for seed in range(6)]) for n in (1, 5))
    assert (five <= one * (1 + 1e-6)).all()  # the first of the five is the one
    assert five.sum() < 0.99 * one.sum()


def test_fewer_nodes_than_segments():
    assert cluster_nodes(np.ones((4, 4, 2)), 15, seed=0).max() == 0
    assert cluster_nodes(np.arange(3.0).reshape(1, 3, 1), 15, seed=0).tolist() in (
        [[0, 1, 2]], [[0, 2, 1]], [[1, 0, 2]], [[1, 2, 0]], [[2, 0, 1]], [[2, 1, 0]],
    )  # fmt: skip
    numbers = np.unique(cluster_nodes(np.random.default_rng(0).random((5, 5, 2)), 15, seed=0))
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))


def test_the_background():
    segments = np.zeros((5, 6), dtype=np.int64)
    segments[1:4, 1:5] = 1  # 12 nodes inside, 18 around
    segments[0, 0:3] = 2
    assert background_segment(segments, "border") == 0
    assert background_segment(segments, "largest") == 0
    segments[1:, 1:5] = 1
    assert background_segment(segments, "largest") == 1
    assert background_segment(segments, "border") == 0


def test_the_nearest_center():
    points = np.array([[0.0, 0.1], [3.0, 3.0]])
    assert nearest_centroids(points, np.array([[3.0, 2.0], [0.0, 0.0]])).tolist() == [1, 0]


def test_unit_length():
    points = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]], dtype=np.float32)
    np.testing.assert_allclose(unit_length(points), [[0.6, 0.8], [0, 0], [0, -1]])
    assert unit_length(points).dtype == np.float32
