"""Masks of objects: what the CRF does to them."""

import numpy as np
import pytest

from raynef.runtime.spectral.objects import refined
from tests.runtime.spectral.test_spectral import blue


@pytest.mark.parametrize("shift", [(3, 0), (0, -4), (5, 5)])
def test_the_crf_moves_a_mask_to_the_edges_of_its_image(shift):
    """A yellow rectangle on blue, and a mask some pixels off: as far as a node may be."""
    truth = np.zeros((64, 96), dtype=bool)
    truth[16:48, 24:72] = True
    image = blue(np.random.default_rng(0), truth.shape)
    image[truth] = [250, 220, 40]
    mask = np.roll(truth, shift, axis=(0, 1))
    assert (mask != truth).sum() > 250
    assert (refined(image, mask) != truth).sum() <= 5
