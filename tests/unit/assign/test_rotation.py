"""The nearest rotation to one-hot rows."""

import numpy as np
import scipy.stats

from raynef.assign.rotation import nearest_rotation


def planted(noise, seed=0, count=400, width=6):
    """One-hot rows, turned, with noise: what they were, and rows of unit length."""
    draws = np.random.default_rng(seed)
    clusters = draws.integers(0, width, count)
    turn = scipy.stats.ortho_group.rvs(width, random_state=seed)
    rows = np.eye(width)[clusters] @ turn.T + noise * draws.standard_normal((count, width))
    return clusters, rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_it_undoes_a_planted_turn():
    clusters, rows = planted(noise=0.1)
    rotation = nearest_rotation(rows, seed=0)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(6), atol=1e-5)
    found = (rows @ rotation).argmax(axis=1)
    assert len({*zip(clusters.tolist(), found.tolist(), strict=True)}) == 6


def test_it_ends_better_than_it_begins():
    """Where clusters overlap, the turns of the search add to the sum of the largest coordinates."""
    _, rows = planted(noise=0.35)
    sums = [
        (rows @ nearest_rotation(rows, seed=1, most=most)).max(axis=1).sum() for most in (1, 2, 50)
    ]
    assert sums == sorted(sums)
    assert sums[0] < sums[-1]
