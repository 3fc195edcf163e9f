"""Values of index maps, as ``numpy.unique`` has them."""

import numpy as np
import pytest

from raynef.report.index_map import counts_of, places_of


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.int64])
def test_values_counts_and_places(kind):
    lowest = 0 if np.iinfo(kind).min == 0 else -1
    index = np.random.default_rng(0).choice([lowest, 0, 3, 200, 255 if lowest == 0 else 100], 600)
    index = index.astype(kind).reshape(20, 30)
    index[0, 0] = lowest
    values, counts = np.unique(index, return_counts=True)
    assert [found.tolist() for found in counts_of(index)] == [values.tolist(), counts.tolist()]
    present, place = places_of(index)
    assert present.tolist() == values.tolist()
    assert place.shape == index.shape
    assert np.array_equal(present[place], index)


def test_a_map_without_a_pixel_has_no_value():
    assert [len(found) for found in counts_of(np.zeros((0, 4), np.int64))] == [0, 0]
    assert [found.size for found in places_of(np.zeros((0, 4), np.int64))] == [0, 0]
