"""Scenes that are read a few rows at a time, beside the same as one array."""

import numpy as np
import pytest
from PIL import Image

from raynef.images.scene import Rows
from raynef.models.segmenter import Segmenter
from raynef.models.strips import default_tile, strips
from raynef.segment.patch_map import cluster_maps

pytestmark = pytest.mark.usefixtures("one_thread", "without_ray")
MOST_OTHER = 1e-4
"""Share of pixels where two clusters are as good as equal, and another rounding decides."""


class Array:
    """A scene of an array, which notes what is read of it."""

    def __init__(self, pixels, valid=None):
        self.pixels = pixels
        self.valid = np.ones(pixels.shape[:2], bool) if valid is None else valid
        self.asked = []

    @property
    def size(self):
        return self.pixels.shape[:2]

    def read(self, top, bottom):
        self.asked.append((top, bottom))
        return Rows(self.pixels[top:bottom], self.valid[top:bottom])


@pytest.fixture(scope="module")
def scene(sample):
    with Image.open(sample / "images" / "val_00000.jpg") as image:
        return np.asarray(image.resize((1100, 210)))


@pytest.fixture(scope="module")
def segmenter(run_here):
    return Segmenter.load(run_here[0])


@pytest.mark.parametrize("size", [(210, 1100), (96, 96), (100, 1090), (97, 200), (60, 300)])
def test_strips_are_the_tiles_of_the_whole_image(segmenter, scene, size):
    """Flush last windows, one window alone, more columns than are upsampled at once, a thin one."""
    pixels, tile = scene[: size[0], : size[1]], 96
    (expected,) = cluster_maps([segmenter.tiled(pixels, tile)], size)
    found = list(strips(segmenter, Array(pixels), tile))
    clusters = np.concatenate([strip.clusters for strip in found])
    assert clusters.shape == size
    assert clusters.dtype == np.uint16
    assert (clusters != expected).mean() <= MOST_OTHER
    assert len(np.unique(clusters)) > 1
    tops = np.cumsum([0, *(len(strip.clusters) for strip in found)])
    assert [strip.top for strip in found] == tops[:-1].tolist()
    np.testing.assert_array_equal(np.concatenate([s.rows.pixels for s in found]), pixels)


def test_each_row_is_read_once_and_few_at_a_time(segmenter, scene):
    tall = Array(np.rot90(scene).copy())
    for _ in strips(segmenter, tall, 64):
        pass
    starts, ends = zip(*tall.asked, strict=True)
    assert ends[:-1] == starts[1:]
    assert (starts[0], ends[-1]) == (0, 1100)
    assert max(end - start for start, end in tall.asked) == 64


def test_windows_without_a_value_are_not_computed(segmenter, scene, monkeypatch):
    valid = np.zeros(scene.shape[:2], bool)
    valid[:, :300] = True
    crops = []
    inner = segmenter.patch_logits
    monkeypatch.setattr(segmenter, "patch_logits", lambda p: crops.append(len(p)) or inner(p))
    found = np.concatenate([s.clusters for s in strips(segmenter, Array(scene, valid), 96)])
    monkeypatch.undo()
    whole = np.concatenate([s.clusters for s in strips(segmenter, Array(scene), 96)])
    assert sum(crops) == 4 * 7  # that begin before 300: at 0, 48, … 288
    np.testing.assert_array_equal(found[:, :300], whole[:, :300])


def test_a_window_is_of_the_scale_of_the_run(segmenter):
    assert default_tile(segmenter) == 64
