"""Sums of rows by group."""

import numpy as np
import pytest

from raynef.assign import sums
from raynef.assign.sums import sums_of_groups


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_they_are_those_of_one_row_after_the_other(monkeypatch, kind):
    """To the last bit, whatever the blocks; a group without rows has a sum of 0."""
    monkeypatch.setattr(sums, "_BLOCK", 7)
    draws = np.random.default_rng(0)
    rows = draws.standard_normal((100, 6)).astype(kind)[:, ::2]  # not contiguous
    groups = draws.choice([0, 1, 2, 4], 100).astype(np.int32)
    slow = np.zeros((5, 3))
    for row, group in zip(rows, groups, strict=True):
        slow[group] += row
    found = sums_of_groups(rows, groups, 5)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, slow)


def test_of_no_rows_they_are_zero():
    np.testing.assert_array_equal(
        sums_of_groups(np.zeros((0, 3), np.float32), np.zeros(0, np.int64), 2), np.zeros((2, 3))
    )
