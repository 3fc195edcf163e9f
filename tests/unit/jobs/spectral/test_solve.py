"""Images that are solved together have the pairs that each has alone."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from raynef.config.recipe import Spectral
from raynef.images.fitted import fit
from raynef.jobs.shards import ShardUnit
from raynef.jobs.spectral import solve
from raynef.jobs.spectral.solve import EigenActor, Given, affinity_of, solve_together, solved
from raynef.work.units import Carried

pytestmark = pytest.mark.usefixtures("one_thread")

SPECTRAL = Spectral(num_eigenvectors=5, color_weight=10.0)


def given(height, width, *, seed, flat=False, spectral=SPECTRAL) -> Given:
    """Features in a few directions, which change over the image; pixels, flat if wanted."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randn(1, 16, 3, 3, generator=generator)
    features = torch.nn.functional.interpolate(
        corners, size=(height // 16, width // 16), mode="bilinear", align_corners=True
    )[0].permute(1, 2, 0)
    draws = np.random.default_rng(seed)
    pixels = draws.integers(0, 256, (height, width, 3)).astype(np.uint8)
    pixels, frame = fit(np.full_like(pixels, 90) if flat else pixels, stride=16, max_side=1024)
    features = features * 0 + 1 if flat else features
    return Given(affinity_of(features, pixels, frame, spectral), frame)


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


def assert_same(found, wanted, *, values=1e-8, vectors=1e-4, residual=1e-6):
    assert found.frame == wanted.frame
    np.testing.assert_allclose(found.values, wanted.values, atol=values)
    assert found.vectors.shape == wanted.vectors.shape
    assert found.residuals.max() < residual
    for k in range(len(wanted.values)):  # simple eigenvalues have one vector each
        apart = np.abs(np.delete(wanted.values, k) - wanted.values[k]).min()
        if apart > 1e-4:
            ours, theirs = found.vectors[..., k], wanted.vectors[..., k]
            if (theirs > 0).mean() == 0.5:  # two sides of one size have no sign of their own
                ours = ours * np.sign((ours * theirs).sum())
            limit = vectors + residual / apart * np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, atol=limit)


def test_together_as_alone(images):
    together = solve_together(images, SPECTRAL)
    alone = [solved([image], SPECTRAL)[0] for image in images]
    for found, wanted in zip(together, alone, strict=True):
        assert_same(found, wanted)


def test_products_in_float32_are_refined_in_float64(images):
    """What a GPU does: the values agree to the square of a residual."""
    found = solve_together(images, SPECTRAL, products=torch.float32)
    for one, wanted in zip(found, solve_together(images, SPECTRAL), strict=True):
        assert_same(one, wanted, values=1e-7, residual=2e-5)


def test_dense_affinities_are_held_a_few_at_a_time(images, monkeypatch):
    mixed = [one._replace(graph=replace(one.graph, dense=True)) for one in images]
    expected = solve_together(mixed, SPECTRAL)
    sizes = []

    def recorded(alike, *args, **settings):
        sizes.append(len(alike))
        return solved(alike, *args, **settings)

    monkeypatch.setattr(solve, "solved", recorded)
    monkeypatch.setattr(solve, "_TOGETHER", 2 * mixed[0].graph.num_nodes ** 2)
    found = solve_together(mixed, SPECTRAL)
    assert sorted(sizes) == [1, 2, 2]
    for one, wanted in zip(found, expected, strict=True):
        assert_same(one, wanted)


def test_an_image_with_few_linked_nodes_takes_none_from_the_others():
    """Of two patches with features, λ = 0 has two pairs; of a whole image, six."""
    features_alone = Spectral(num_eigenvectors=5, color_weight=0.0, resolution=16)
    whole = given(96, 128, seed=0, spectral=features_alone)
    features = torch.zeros(6, 8, 16)
    features[0, 0, 0] = features[5, 7, 1] = 1
    pixels = np.zeros((96, 128, 3), np.uint8)
    graph = affinity_of(features, pixels, whole.frame, features_alone)
    few = Given(replace(graph, dense=whole.graph.dense), whole.frame)  # so solved as one
    found = solve_together([few, whole], features_alone)
    assert [len(one.values) for one in found] == [2, 6]
    assert_same(found[1], solved([whole], features_alone)[0])


def test_the_actor_keeps_the_order_and_makes_no_graph(images, tmp_path, monkeypatch):
    """Trees and sparse sums are made by the tasks before it, not where a GPU waits for them."""

    def not_here(*_, **__):
        raise AssertionError("a graph is assembled in the actor")

    for made in ("color_affinity", "_negatives"):
        monkeypatch.setattr(f"raynef.graph.affinity.{made}", not_here)
    actor = EigenActor(SPECTRAL, "cpu")
    unit = ShardUnit([4, 3, 2, 1, 0], folder=tmp_path, file="shard-000000.parquet")
    read = pickle.loads(pickle.dumps(Carried(unit, dict(zip(unit.images, images, strict=True)))))
    found = actor(read)
    assert found.unit == unit
    assert list(found.values) == unit.images
    assert [pairs.frame for pairs in found.values.values()] == [frame for _, frame in images]
