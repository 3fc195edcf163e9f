"""Pixels near an edge, against a search around each pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from raynef.segment.edges import near_edges


def slow_near(label, distance):
    """Near are pixels with a pixel of an edge in the square around them."""
    height, width = label.shape
    edge = np.zeros(label.shape, dtype=bool)
    for row in range(height):
        for column in range(width):
            beside = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
            edge[row, column] = any(
                0 <= r < height and 0 <= c < width and label[r, c] != label[row, column]
                for r, c in beside
            )
    reach = distance - 1
    found = np.zeros(label.shape, dtype=bool)
    for row, column in np.argwhere(edge):
        top, left = max(0, row - reach), max(0, column - reach)
        found[top : row + reach + 1, left : column + reach + 1] = True
    return found


@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 2)),
    st.integers(1, 4),
)
def test_near_is_what_a_search_finds(label, distance):
    np.testing.assert_array_equal(near_edges(label, distance), slow_near(label, distance))


@pytest.mark.parametrize(("distance", "columns"), [(1, 2), (3, 6)])
def test_a_band_has_both_sides(distance, columns):
    label = np.zeros((5, 20), dtype=np.uint8)
    label[:, 10:] = 255
    near = near_edges(label, distance)
    assert near.sum() == 5 * columns
    assert near[:, 10 - distance : 10 + distance].all()
