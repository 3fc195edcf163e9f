"""What a backbone of a native size sees at test, and where the maps of it lie."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from raynef.config.presets import load_presets
from raynef.features.backbone import Backbone
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import read_image
from raynef.jobs.spectral import bridge
from raynef.models.heads import LinearHead
from raynef.models.segmenter import Segmenter
from raynef.segment.patch_map import cluster_maps
from raynef.work.maps import CountingActor
from raynef.work.reading import Photo, Scoring, read_examples
from raynef.work.segmenting import patch_maps
from raynef.work.units import ImageUnit
from tests.known import a

pytestmark = pytest.mark.usefixtures("one_thread")

NATIVE = {"clip_b16": (224, 16), "dinov2_s": (518, 14)}  # side and patch, as they are published
PHOTOS = {"pascal_context": (375, 500), "cityscapes": (512, 1024)}  # Cityscapes at half its size
BRIGHT = 200


class Spy(Backbone):
    """Stands for a backbone: the mean color of each patch; remembers what it was shown."""

    dim, mean, std = 3, (0.0,) * 3, (1.0,) * 3

    def __init__(self, patch_size: int) -> None:
        nn.Module.__init__(self)  # there is no model to take these from
        self.patch_size, self.shapes = patch_size, list[tuple[int, ...]]()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        self.shapes.append(tuple(images.shape))
        means = functional.avg_pool2d(images, self.patch_size)
        return means.flatten(2).transpose(1, 2)[:, None].repeat(1, 3, 1, 1)


def spied(recipe, patch_size) -> Segmenter:
    """Cluster 1 where a patch is brighter than half of ``BRIGHT``, else 0."""
    head = LinearHead(3, 2)
    with torch.no_grad():
        head.head.weight.copy_(torch.tensor([[0.0] * 3, [1.0] * 3]))
        head.head.bias.copy_(torch.tensor([0.0, -1.5 * BRIGHT / 255]))
    config = recipe.backbone
    short_side = recipe.evaluate.short_side
    return Segmenter(Spy(patch_size), head, backbone_config=config, short_side=short_side)


def photo_and_label(size, box, folder):
    """A dark photograph with a bright object in a box (top, bottom, left, right), and its label."""
    mask = np.zeros(size, bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    gray = (mask * BRIGHT).astype(np.uint8)
    Image.fromarray(np.repeat(gray[..., None], 3, 2)).save(folder / "a.png")
    Image.fromarray(mask.astype(np.uint8)).save(folder / "a-label.png")
    return ImageFile("a.png", str(folder / "a.png"), str(folder / "a-label.png"))


def counted(segmenter, file, config, monkeypatch):
    """The table of one image, cluster against class."""
    monkeypatch.setattr(Segmenter, "load", lambda *_, **__: segmenter)
    scoring = Scoring(config, None, (1, 2, 2))
    examples = read_examples(ImageUnit([0], (file,)), scoring=scoring)
    found = CountingActor("", "cpu", scoring=scoring)(examples)
    assert (found.skipped, found.mistake) == ({}, None)
    return found.tables[0]


@pytest.mark.parametrize("backbone", NATIVE)
@pytest.mark.parametrize("data", PHOTOS)
@pytest.mark.parametrize("protocol", ["reco", "sliding", "whole"])
def test_the_backbone_sees_its_native_size(data, backbone, protocol, tmp_path, monkeypatch):
    """And the object is where it is: most pixels of either kind are in its own cluster."""
    names = [data, backbone] + ([f"sliding_{data}"] if protocol == "sliding" else [])
    recipe = load_presets(names)
    side, patch = NATIVE[backbone]
    assert recipe.backbone.input_size == side
    height, width = PHOTOS[data]
    box = (height // 4, height * 5 // 8, width // 3, width * 5 // 9)
    file = photo_and_label((height, width), box, tmp_path)
    segmenter = spied(recipe, patch)
    config = dataclasses.replace(recipe.evaluate, protocol=protocol)
    table = counted(segmenter, file, config, monkeypatch)
    shapes = a(Spy, segmenter.backbone).shapes
    assert {shape[2:] for shape in shapes} == {(side, side)}
    windows = {"reco": (1, 1), "sliding": (2 * 2, 2 * 4), "whole": (2, 2)}[protocol]
    assert sum(shape[0] for shape in shapes) == windows[list(PHOTOS).index(data)]
    share = table.diagonal() / table.sum(axis=0)
    assert share.min() > 0.85


@pytest.mark.parametrize("backbone", NATIVE)
@pytest.mark.parametrize("size", [(375, 500), (500, 375), (320, 320), (300, 1200)])
def test_squares_of_a_photograph_are_seen_at_the_native_size(backbone, size, tmp_path):
    """Its map has the photograph's sides, and edges within half a patch of where they are."""
    side, patch = NATIVE[backbone]
    recipe = load_presets(["pascal_context", backbone])
    segmenter = spied(recipe, patch)
    height, width = size
    box = (height // 4, height * 5 // 8, width // 3, width * 5 // 9)
    file = photo_and_label(size, box, tmp_path)
    photos = {0: Photo(read_image(file.path), "")}
    ((_, found),) = patch_maps(segmenter, photos, at_once=16)
    (clusters,) = cluster_maps([found], size)
    num_squares = -(-max(size) // min(size))
    assert segmenter.backbone.shapes == [(num_squares, 3, side, side)]
    assert clusters.shape == size
    rows, columns = (np.flatnonzero(clusters.any(axis=axis)) for axis in (1, 0))
    edges = (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
    far = np.abs(np.subtract(edges, box))
    assert (far <= min(size) * patch / side / 2).all()


def test_the_graph_of_compared_spectra_is_made_at_the_native_size():
    recipe = load_presets(["pascal_context", "clip_b16"])
    segmenter = spied(recipe, 16)
    taps, thumbnails = bridge._features(segmenter, [np.zeros((480, 480, 3), np.uint8)] * 2)
    assert segmenter.backbone.shapes == [(1, 3, 224, 224)] * 2
    assert taps.shape == (2, 3, 14 * 14, 3)
    assert thumbnails.shape == (2, 14, 14, 3)
