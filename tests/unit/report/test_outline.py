"""Crops with a mask outlined."""

import numpy as np
import pytest

from raynef.report.outline import outlined


def test_the_mask_is_bright_within_a_line_and_the_rest_is_dark():
    image = np.full((80, 120, 3), 200, dtype=np.uint8)  # twice the mask's size
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:30, 20:40] = True
    crop = outlined(image, mask, (10, 20, 30, 40), side=140)  # 28 pixels of the mask
    assert crop.shape == (140, 140, 3)
    assert crop[70, 70].tolist() == [200] * 3
    assert crop[5, 5].tolist() == [90] * 3
    column = crop[:, 70, 0].astype(int).tolist()
    assert column.index(255) == pytest.approx(4 / 28 * 140, abs=3)  # the line, at the mask's edge
    assert column[column.index(255) - 1] == 0  # black beside white: seen on any ground


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (7, 300)])
def test_a_crop_lies_within_the_image(shape):
    gradient = np.linspace(0, 255, shape[1], dtype=np.uint8)
    image = np.repeat(np.broadcast_to(gradient, shape)[..., None], 3, axis=2)
    whole = np.ones(shape, dtype=bool)
    right = outlined(image, whole, (0, shape[1] - 2, shape[0], shape[1]), side=32)
    left = outlined(image, whole, (0, 0, shape[0], 2), side=32)
    assert right[16, -1, 0] > 245
    assert left[16, 0, 0] < 10


def test_what_it_is_given_stays_as_it_is():
    image, mask = np.full((20, 20, 3), 100, dtype=np.uint8), np.eye(20, dtype=bool)
    outlined(image, mask, (2, 2, 9, 9), side=16)
    assert (image == 100).all()
    np.testing.assert_array_equal(mask, np.eye(20, dtype=bool))
