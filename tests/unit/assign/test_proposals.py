"""Names for clusters: averages over points, and what is clearly ahead."""

import numpy as np
import pytest

from raynef.assign.proposals import ClusterScores, Proposal, propose


def test_scores_are_sums_over_the_points_of_each_cluster():
    generator = np.random.default_rng(0)
    clusters = generator.integers(0, 5, (6, 12)).astype(np.uint16)
    probabilities = generator.random((2, 4, 3))
    sums, counts = np.zeros((6, 3)), np.zeros(6)
    for (row, column), cluster in np.ndenumerate(clusters):
        sums[cluster] += probabilities[row // 3, column // 3]
        counts[cluster] += 1
    found = ClusterScores.of_image(clusters, probabilities, 6)
    np.testing.assert_allclose(found.sums, sums)
    np.testing.assert_array_equal(found.counts, counts)
    twice = ClusterScores.empty(6, 3).plus(found).plus(found)
    np.testing.assert_allclose(twice.sums, 2 * sums)
    np.testing.assert_array_equal(twice.counts, 2 * counts)


@pytest.mark.parametrize("shape", [(6, 11), (7, 12), (6, 8)])
def test_a_map_of_another_grid_is_refused(shape):
    with pytest.raises(ValueError, match="lies on no grid of 2x4"):
        ClusterScores.of_image(np.zeros(shape, dtype=np.uint16), np.ones((2, 4, 3)), 1)


def test_only_what_is_ahead_is_proposed():
    sums = np.array([[6.0, 3, 1], [4.5, 5.5, 0], [0, 0, 0], [2, 2, 2]])
    scores = ClusterScores(sums, np.array([10.0, 10, 0, 6]))
    names = ("sky", "grass", "cow")
    found = propose(scores, names, margin=0.2)
    assert found == (Proposal(0, "sky", 0.6, 0.6 - 0.3),)
    assert [(p.cluster, p.name) for p in propose(scores, names, margin=0.05)] == [
        (0, "sky"),
        (1, "grass"),
    ]
    assert 2 not in [p.cluster for p in propose(scores, names, margin=0)]  # nothing is known of it
