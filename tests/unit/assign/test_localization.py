"""IoU of boxes and CorLoc, by hand."""

import math

import numpy as np
import pytest

from raynef.assign.localization import center_box, corloc, overlaps


def test_overlaps():
    truth = np.array([[0, 0, 10, 10], [5, 5, 15, 15], [20, 20, 30, 30]], dtype=float)
    np.testing.assert_allclose(overlaps((0, 0, 10, 10), truth), [1, 25 / 175, 0])
    assert overlaps((0, 0, 10, 10), np.zeros((0, 4))).shape == (0,)


def test_half_is_enough():
    assert corloc(np.array([0.5, 0.49, 1.0, 0.0])) == 0.5
    assert math.isnan(corloc(np.array([])))


def test_a_box_at_the_center():
    assert center_box((0.5, 0.25), (100, 200)) == pytest.approx((75, 25, 125, 75))
