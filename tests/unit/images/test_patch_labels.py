"""Labels of views: through the image's own geometry, then shares of patches."""

import dataclasses

import numpy as np
import pytest

from raynef.config.recipe import Data
from raynef.core import IGNORE
from raynef.images.augment import augment
from raynef.images.patch_labels import label_view, patch_shares

DATA = Data(short_side=40, crop=32, photometric=False)


def painting(height, width, *, seed):
    """A label of blocks, and an image that shows each class in a color of its own."""
    blocks = np.random.default_rng(seed).integers(0, 4, (2, 3))
    label = blocks.repeat(-(-height // 2), axis=0).repeat(-(-width // 3), axis=1)[:height, :width]
    image = np.array([0, 80, 160, 240], dtype=np.uint8)[label]
    return np.repeat(image[:, :, None], 3, axis=2), label.astype(np.int32)


@pytest.mark.parametrize(
    "views", [{"scale": (0.5, 0.5)}, {"scale": (1.0, 1.0)}, {}, {"views": "shifted"}], ids=str
)
@pytest.mark.parametrize("shape", [(50, 60), (60, 50), (40, 40), (90, 31)])
def test_a_label_lies_over_its_image(shape, views):
    """Read back from the colors of the view, but where colors mix at a border."""
    data = dataclasses.replace(DATA, **views)
    for index in range(10):
        image, label = painting(*shape, seed=index)
        keys = {"seed": 3, "view": 1, "index": index}
        made = augment(image, data, **keys)
        found = label_view(label, data, **keys)
        assert found.shape == (32, 32)
        height, width = made.extent
        inside = np.zeros((32, 32), dtype=bool)
        inside[:height, :width] = True
        assert (found[~inside] == IGNORE).all()
        shown = made.pixels[:height, :width, :1].astype(int)
        nearest = np.abs(shown - [0, 80, 160, 240]).argmin(axis=2)
        assert (nearest == found[:height, :width]).mean() > 0.85


def test_another_view_is_another_label():
    _, label = painting(80, 90, seed=0)
    found = {
        label_view(label, DATA, seed=0, view=view, index=index).tobytes()
        for view in range(3)
        for index in range(3)
    }
    assert len(found) > 6


def test_the_label_is_not_touched():
    _, label = painting(50, 60, seed=0)
    before = label.copy()
    for index in range(5):
        label_view(label, DATA, seed=0, view=0, index=index)
    np.testing.assert_array_equal(label, before)


def slow_shares(label, grid, num_classes):
    """Pixel by pixel; a pixel belongs to the patch in which it begins."""
    shares = np.zeros((grid, grid, num_classes))
    pixels = np.zeros((grid, grid))
    side = len(label)
    for i in range(side):
        for j in range(side):
            at = (i * grid // side, j * grid // side)
            pixels[at] += 1
            if label[i, j] != IGNORE:
                shares[(*at, label[i, j])] += 1
    return (shares / pixels[:, :, None]).reshape(grid * grid, num_classes)


@pytest.mark.parametrize(("side", "grid"), [(32, 4), (32, 2), (30, 4), (8, 8), (7, 1)])
def test_shares_against_a_slow_twin(side, grid):
    draws = np.random.default_rng(0)
    label = draws.integers(0, 5, (side, side)).astype(np.int32)
    label[draws.random((side, side)) < 0.3] = IGNORE
    found = patch_shares(label, grid, 5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow_shares(label, grid, 5), rtol=1e-6)


def test_shares_sum_to_the_labeled_part_of_their_patch():
    label = np.full((32, 32), IGNORE, dtype=np.int32)
    assert not patch_shares(label, 4, 3).any()
    label[:8, :4] = 2
    shares = patch_shares(label, 4, 3)
    assert shares[0].tolist() == [0, 0, 0.5]
    assert not shares[1:].any()
