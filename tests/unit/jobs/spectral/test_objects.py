"""Masks of objects: what the CRF does to them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from raynef.assign.overlap import Overlap
from raynef.cluster.place import this_process
from raynef.core import IGNORE
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageFile
from raynef.jobs.spectral.eigen import open_solved
from raynef.jobs.spectral.objects import _overlap, folder_of, segment_objects
from raynef.segment.crf import dense_crf
from raynef.segment.refine import POTENTIALS, refined
from tests.unit.jobs.spectral.test_spectral import blue
from tests.unit.jobs.test_holds import held_by_another


def rectangle_on_blue(shift):
    """A yellow rectangle, its mask, and the mask some pixels off: as far as a node may be."""
    truth = np.zeros((64, 96), dtype=bool)
    truth[16:48, 24:72] = True
    image = blue(np.random.default_rng(0), truth.shape)
    image[truth] = [250, 220, 40]
    return image, truth, np.roll(truth, shift, axis=(0, 1))


@pytest.mark.parametrize("shift", [(3, 0), (0, -4), (5, 5)])
def test_the_crf_moves_a_mask_to_the_edges_of_its_image(shift):
    image, truth, mask = rectangle_on_blue(shift)
    assert (mask != truth).sum() > 250
    assert (refined(image, mask) != truth).sum() <= 5


def test_a_score_is_of_the_known_pixels_alone():
    truth = np.array([[1, 1, 1, 0, 0, 0, IGNORE, IGNORE]])
    mask = np.array([[True, True, False, True, False, False, True, False]])
    file = ImageFile("a.jpg", "a.jpg")
    assert _overlap(mask, truth, file) == Overlap(iou=2 / 4, accuracy=4 / 6)
    assert _overlap(mask & False, np.zeros_like(truth), file) == Overlap(iou=1.0, accuracy=1.0)
    with pytest.raises(UserError, match=r"the mask of a.jpg is 8x1 pixels, but its image is 8x2"):
        _overlap(np.zeros((2, 8), dtype=bool), truth, file)


def test_potentials_are_those_of_the_published_library():
    """Of the CRF that the code of arXiv:2205.07839 calls: (10, 80, 13, 3, 3, 5)."""
    assert dataclasses.astuple(POTENTIALS) == (3, 3, 80, 13, 10, 5)
    image, _, mask = rectangle_on_blue((5, 5))
    certain = np.log(np.where(np.stack([~mask, mask]), 0.99, 0.01))
    expected, others = (
        dense_crf(image, certain, potentials).argmax(axis=0) == 1
        for potentials in (POTENTIALS, None)  # None: those of neural eigenfunctions' evaluation
    )
    np.testing.assert_array_equal(refined(image, mask), expected)
    assert (expected != others).any()


def test_masks_may_not_become_images(store):
    images = open_solved(store).images
    for out in (folder_of(images), f"{folder_of(images)}/masks"):
        with this_process(), pytest.raises(UserError, match="the folder of images"):
            segment_objects(store, out=out)
    assert not list(Path(folder_of(images)).glob("**/.lock"))


def test_the_second_command_refuses_its_folder(store, tmp_path):
    refused = pytest.raises(UserError, match="another live command")
    with held_by_another(tmp_path / "out"), this_process(), refused:
        segment_objects(store, out=tmp_path / "out")
