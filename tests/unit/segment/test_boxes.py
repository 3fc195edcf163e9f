"""Masks, connected parts and boxes."""

import numpy as np
import pytest

from raynef.segment.boxes import box_around, expanded, foreground, largest_component
from raynef.segment.lost import lost_mask


def test_a_box_around_the_largest_part():
    mask = np.zeros((6, 8), dtype=bool)
    mask[1:3, 1:3] = True
    mask[3, 3] = True  # joined by a corner
    mask[0, 6:8] = True
    part = largest_component(mask)
    assert part.sum() == 5
    assert box_around(part) == (1, 1, 4, 4)
    assert box_around(mask) == (1, 0, 8, 4)
    assert expanded((1, 1, 4, 4), 2, (6, 8)) == (0, 0, 6, 6)


def test_of_equal_parts_the_first():
    mask = np.zeros((3, 5), dtype=bool)
    mask[0, 0] = mask[2, 4] = True
    assert box_around(largest_component(mask)) == (0, 0, 1, 1)


@pytest.mark.parametrize("value", [0.0, -1.0, 1.0])
def test_a_vector_that_tells_nothing_apart_is_all_foreground(value):
    assert foreground(np.full((2, 3), value)).all()


def test_foreground_is_what_is_above_zero():
    assert foreground(np.array([[1.0, -1.0], [0.0, 2.0]])).tolist() == [
        [True, False],
        [False, True],
    ]


def test_lost_finds_a_small_object_that_is_unlike_the_rest():
    generator = np.random.default_rng(0)
    features = np.full((10, 12, 4), [1.0, 0.2, 0, 0]) + generator.normal(0, 0.05, (10, 12, 4))
    features[3:6, 4:8] = generator.normal([-1.0, 0.2, 0.5, 0], 0.05, (3, 4, 4))
    assert box_around(lost_mask(features, num_seeds=20)) == (4, 3, 8, 6)


def test_lost_of_one_patch():
    assert lost_mask(np.ones((1, 1, 3))).all()
