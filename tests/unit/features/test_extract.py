"""What the backbone, the graph and ψ get of pixels, against loops over them."""

import numpy as np
import pytest
import torch
from torch import nn

from raynef.features.backbone import Backbone
from raynef.features.extract import extract_features

PATCH = 4


class Listening(Backbone):
    """A backbone that keeps what it is shown."""

    patch_size, mean, std = PATCH, (0.2, 0.4, 0.6), (0.5, 0.25, 0.1)

    def __init__(self):
        nn.Module.__init__(self)  # there is no model to take these from
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images):
        self.seen = images.clone()
        grid = images.shape[2] // PATCH * (images.shape[3] // PATCH)
        return torch.zeros(len(images), 3, grid, 2)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (2, 12, 20, 3), dtype=np.uint8)


def test_pixels_are_normalized_by_the_backbones_own_statistics(pixels):
    backbone = Listening()
    extract_features(backbone, pixels)
    expected = (pixels / 255 - np.array(Listening.mean)) / np.array(Listening.std)
    np.testing.assert_allclose(backbone.seen.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_beyond_the_extent_it_sees_its_mean_and_patches_that_hold_padding_are_not_valid(pixels):
    backbone = Listening()
    features = extract_features(backbone, pixels, np.array([(12, 20), (7, 8)]))
    assert features.valid[0].all()
    assert features.valid[1].tolist() == [[True, True, False, False, False], *[[False] * 5] * 2]
    assert not backbone.seen[1, :, 7:].any()
    assert not backbone.seen[1, :, :, 8:].any()
    assert (backbone.seen[1, :, :7, :8] != 0).float().mean() > 0.9


def test_thumbnails_are_the_antialiased_image_at_the_size_of_the_grid(pixels):
    """A cell is the mean of the pixels around it, weighted by a triangle of two cells."""
    found = extract_features(Listening(), pixels).thumbnails
    assert found.shape == (2, 3, 5, 3)
    for i, j in np.ndindex(3, 5):
        down, across = (
            np.clip(1 - np.abs((np.arange(length) + 0.5) / PATCH - (cell + 0.5)), 0, None)
            for length, cell in ((12, i), (20, j))
        )
        weights = np.outer(down, across) / down.sum() / across.sum()
        expected = np.einsum("yx,byxc->bc", weights, pixels / 255)
        np.testing.assert_allclose(found[:, i, j].numpy(), expected, atol=1e-4)
