"""Images that are solved together have the pairs that each has alone."""

import numpy as np
import pytest
import torch

from raynef.config.recipe import Spectral
from raynef.images.fitted import fit
from raynef.jobs.shards import ShardUnit
from raynef.jobs.spectral.solve import EigenActor, Given, solve_images
from raynef.work.units import Carried

pytestmark = pytest.mark.usefixtures("one_thread")

SPECTRAL = Spectral(num_eigenvectors=5, color_weight=10.0)


def given(height, width, *, seed, flat=False) -> Given:
    """Features in a few directions, which change over the image; pixels, flat if wanted."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randn(1, 16, 3, 3, generator=generator)
    features = torch.nn.functional.interpolate(
        corners, size=(height // 16, width // 16), mode="bilinear", align_corners=True
    )[0].permute(1, 2, 0)
    draws = np.random.default_rng(seed)
    pixels = draws.integers(0, 256, (height, width, 3)).astype(np.uint8)
    pixels, frame = fit(np.full_like(pixels, 90) if flat else pixels, stride=16, max_side=1024)
    return Given(features * 0 + 1 if flat else features, pixels, frame)


@pytest.fixture
def images():
    """Two sizes in turn, and a flat image among them."""
    return [
        given(96, 128, seed=0),
        given(128, 96, seed=1),
        given(96, 128, seed=2),
        given(96, 128, seed=3, flat=True),
        given(64, 64, seed=4),
    ]


def assert_same(found, wanted):
    assert found.frame == wanted.frame
    np.testing.assert_allclose(found.values, wanted.values, atol=1e-8)
    assert found.vectors.shape == wanted.vectors.shape
    assert found.residuals.max() < 1e-6
    for k in range(len(wanted.values)):  # simple eigenvalues have one vector each
        apart = np.abs(np.delete(wanted.values, k) - wanted.values[k]).min() > 1e-4
        if apart:
            np.testing.assert_allclose(found.vectors[..., k], wanted.vectors[..., k], atol=1e-4)


def test_together_as_alone(images):
    together = solve_images(images, SPECTRAL, together=True)
    alone = [solve_images([image], SPECTRAL)[0] for image in images]
    for found, wanted in zip(together, alone, strict=True):
        assert_same(found, wanted)


def test_an_image_with_few_linked_nodes_takes_none_from_the_others():
    """Of two patches with features, λ = 0 has two pairs; of a whole image, six."""
    features_alone = Spectral(num_eigenvectors=5, color_weight=0.0, resolution=16)
    whole = given(96, 128, seed=0)
    few = whole._replace(features=torch.zeros(6, 8, 16))
    few.features[0, 0, 0] = few.features[5, 7, 1] = 1
    found = solve_images([few, whole], features_alone, together=True)
    assert [len(one.values) for one in found] == [2, 6]
    assert_same(found[1], solve_images([whole], features_alone)[0])


def test_the_actor_keeps_the_order(images, tmp_path):
    actor = EigenActor(SPECTRAL, "cpu")
    unit = ShardUnit([4, 3, 2, 1, 0], folder=tmp_path, file="shard-000000.parquet")
    solved = actor(Carried(unit, dict(zip(unit.images, images, strict=True))))
    assert solved.unit == unit
    assert list(solved.values) == unit.images
    assert [pairs.frame for pairs in solved.values.values()] == [frame for *_, frame in images]
