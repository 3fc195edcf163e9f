"""Mutual information against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from raynef.assign.information import entropy, mutual_information


@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_it_is_scikit_learns_in_bits(seed, count):
    draw = np.random.default_rng(seed)
    first, second = draw.integers(0, count, (2, 4, 5, 6))
    expected = mutual_info_score(first.ravel(), second.ravel()) / np.log(2)
    assert mutual_information(first, second, count) == pytest.approx(expected, abs=1e-9)


def test_its_ends():
    clusters = np.arange(8).repeat(5)
    assert mutual_information(clusters, clusters[::-1], 8) == pytest.approx(3.0)  # renamed
    assert mutual_information(clusters, np.zeros_like(clusters), 8) == 0
    assert entropy(np.array([0.5, 0.25, 0.25, 0.0])) == pytest.approx(1.5)
