"""Soft layers: planted regions come back, and a step is the quadratic problem's solution."""

import numpy as np
import pytest
import torch

from raynef.segment.matte import Sparsity, _orthogonal, rgba_layer, soft_layers, sparser


def planted(shares=(0.5, 0.3, 0.2), size=2000, num_vectors=8, noise=0.05, seed=0):
    """Regions, and vectors that are combinations of their indicators with noise."""
    generator = np.random.default_rng(seed)
    owner = generator.choice(len(shares), size=size, p=shares)
    indicators = np.eye(len(shares))[owner]
    mixed = indicators @ generator.normal(size=(len(shares), num_vectors))
    return owner, torch.from_numpy(mixed + noise * generator.normal(size=mixed.shape))


def cost(alpha, sparsity):
    """How far layers [N, m] are from 0 and 1."""
    both = torch.stack([alpha, 1 - alpha])
    return float((both.square() + sparsity.smallest**2).pow(sparsity.power / 2).sum())


def check_layers(layers, num_layers, size):
    assert layers.shape == (num_layers, size)
    assert layers.min() >= 0
    assert layers.max() <= 1
    assert (layers.double().sum(dim=0) - 1).abs().max() < 1e-6


@pytest.mark.parametrize("shares", [(0.6, 0.4), (0.5, 0.3, 0.2)])
def test_planted_regions_come_back(shares):
    owner, vectors = planted(shares)
    layers = soft_layers(vectors, num_layers=len(shares))
    check_layers(layers, len(shares), len(owner))
    for region, layer in enumerate(layers > 0.5):  # the largest first
        inside = owner == region
        overlap = (layer.numpy() & inside).sum() / (layer.numpy() | inside).sum()
        assert overlap > 0.98


def test_a_soft_edge_stays_soft():
    ramp = torch.cat([torch.zeros(400), torch.linspace(0, 1, 20), torch.ones(200)]).double()
    layers = soft_layers(torch.stack([torch.ones_like(ramp), 3 - 2 * ramp], dim=1), num_layers=2)
    edge = layers[1, 400:420]
    assert (edge.diff() >= -1e-6).all()
    assert ((edge > 0.05) & (edge < 0.95)).sum() > 5
    assert layers[0, :400].min() > 0.95


def quadratic_twin(basis, alpha, sparsity):
    """The step as one dense problem: all unknowns and multipliers, pixel by pixel sums."""
    basis, alpha = basis.numpy(), alpha.numpy()
    (size, dim), num_layers = basis.shape, alpha.shape[1]
    matrix = np.zeros((dim * (num_layers + 1), dim * (num_layers + 1)))
    side = np.zeros(len(matrix))
    for k in range(num_layers):
        block = slice(k * dim, (k + 1) * dim)
        for i in range(size):
            u = (alpha[i, k] ** 2 + sparsity.smallest**2) ** (sparsity.power / 2 - 1)
            v = ((1 - alpha[i, k]) ** 2 + sparsity.smallest**2) ** (sparsity.power / 2 - 1)
            matrix[block, block] += (u + v) * np.outer(basis[i], basis[i])
            side[block] += v * basis[i]
        matrix[block, num_layers * dim :] = np.eye(dim)
        matrix[num_layers * dim :, block] = np.eye(dim)
    side[num_layers * dim] = 1
    return np.linalg.solve(matrix, side)[: num_layers * dim].reshape(num_layers, dim).T


def test_a_step_solves_the_quadratic_problem():
    _, vectors = planted(size=200)
    basis, sparsity = _orthogonal(vectors), Sparsity()
    alpha = torch.softmax(3 * basis[:, :3], dim=1)
    ours = sparser(basis, alpha, sparsity).numpy()
    np.testing.assert_allclose(ours, quadratic_twin(basis, alpha, sparsity), atol=1e-9)


def test_every_step_is_sparser_and_sums_to_one():
    _, vectors = planted(noise=0.3)
    basis, sparsity = _orthogonal(vectors), Sparsity()
    alpha = basis @ (basis.T @ torch.softmax(basis[:, :4], dim=1) / len(basis))
    costs = [cost(alpha, sparsity)]
    for _ in range(20):
        alpha = basis @ sparser(basis, alpha, sparsity)
        assert (alpha.sum(dim=1) - 1).abs().max() < 1e-9
        costs.append(cost(alpha, sparsity))
    assert (np.diff(costs) <= 1e-9).all()
    assert costs[-1] < 0.95 * costs[0]


def test_two_runs_are_identical_and_scales_do_not_matter():
    _, vectors = planted()
    first = soft_layers(vectors, num_layers=3)
    assert torch.equal(first, soft_layers(vectors, num_layers=3))
    assert torch.equal(first, soft_layers(vectors, num_layers=3, seed=0))
    scaled = soft_layers(vectors * 1e-4, num_layers=3)
    torch.testing.assert_close(first, scaled, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "vectors",
    [
        torch.ones(1, 1),  # one pixel
        torch.randn(1, 15),
        torch.ones(50, 1),  # nothing but the constant
        torch.zeros(50, 4),  # isolated nodes
        torch.arange(50.0)[:, None],  # fewer vectors than layers
        torch.tensor([[1.0], [2.0]]).repeat(25, 1),
        torch.randn(3, 10),  # fewer pixels than layers
    ],
)
@pytest.mark.parametrize("num_layers", [1, 5])
def test_whatever_the_vectors_layers_sum_to_one(vectors, num_layers):
    check_layers(soft_layers(vectors, num_layers=num_layers), num_layers, len(vectors))


def test_nothing_to_tell_apart_is_one_layer():
    layers = soft_layers(torch.ones(50, 3), num_layers=4)
    assert layers[0].min() > 0.99  # ε keeps the others a little above 0


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="num_layers must be >= 1, got 0"):
        soft_layers(torch.ones(5, 2), num_layers=0)
    with pytest.raises(ValueError, match="finite"):
        soft_layers(torch.full((5, 2), torch.nan), num_layers=2)


def test_rgba():
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    alpha = generator.random((4, 5))
    alpha[0, 0], alpha[0, 1] = 0, 1
    layer = rgba_layer(image, alpha)
    assert layer.dtype == np.uint8
    np.testing.assert_array_equal(layer[..., :3], image)
    np.testing.assert_allclose(layer[..., 3] / 255, alpha, atol=0.5 / 255 + 1e-9)
    assert layer[0, 0, 3] == 0
    assert layer[0, 1, 3] == 255
    with pytest.raises(ValueError, match="image's size"):
        rgba_layer(image, alpha.T)
