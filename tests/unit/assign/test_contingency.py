"""The K×C table against a loop over pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynef.assign.contingency import contingency
from raynef.core import IGNORE
from raynef.core.errors import UserError


def slow_table(clusters, label, num_clusters, num_classes, ignore=IGNORE):
    table = np.zeros((num_clusters, num_classes), dtype=np.int64)
    for at in np.ndindex(label.shape):
        if label[at] != ignore:
            table[clusters[at], label[at]] += 1
    return table


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    num_clusters=st.integers(1, 6),
    num_classes=st.integers(1, 5),
)
def test_equals_a_loop_over_pixels(seed, shape, num_clusters, num_classes):
    draws = np.random.default_rng(seed)
    clusters = draws.integers(0, num_clusters, shape).astype(np.uint16)
    label = draws.choice([*range(num_classes), IGNORE], shape).astype(np.int32)
    table = contingency(
        clusters, label, num_clusters=num_clusters, num_classes=num_classes, name="x"
    )
    assert table.dtype == np.int64
    np.testing.assert_array_equal(table, slow_table(clusters, label, num_clusters, num_classes))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_large_numbers_do_not_wrap(dtype):
    """The code of a pair is clusters·C + class: beyond 16 bits whatever the maps hold."""
    clusters = np.array([[4095, 0]], dtype=np.uint16)
    label = np.array([[199, 3]], dtype=dtype)
    table = contingency(clusters, label, num_clusters=4096, num_classes=200, name="x")
    assert table.shape == (4096, 200)
    assert table[4095, 199] == table[0, 3] == 1
    assert table.sum() == 2


def test_nothing_to_score_gives_zeros():
    label = np.full((3, 3), IGNORE, dtype=np.int32)
    table = contingency(np.zeros((3, 3), int), label, num_clusters=4, num_classes=2, name="x")
    np.testing.assert_array_equal(table, np.zeros((4, 2)))


def test_another_value_can_be_ignored():
    label = np.array([[0, 1, 255]], dtype=np.int32)
    clusters = np.zeros((1, 3), dtype=int)
    table = contingency(clusters, label, num_clusters=1, num_classes=256, name="x", ignore=0)
    assert table.sum() == 2
    assert table[0, 255] == table[0, 1] == 1


@pytest.mark.parametrize(("value", "named"), [(2, "2"), (254, "254"), (-1, "-1")])
def test_a_label_beyond_the_classes_is_named(value, named):
    label = np.array([[0, value]], dtype=np.int32)
    with pytest.raises(UserError, match=rf"street.png holds {named}, .* classes 0 to 1 .*255"):
        contingency(np.zeros((1, 2), int), label, num_clusters=3, num_classes=2, name="street.png")
