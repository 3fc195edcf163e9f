"""The compact product of reflections against torch's, one reflection after another."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import orthogonal

from raynef.eigen.orthogonal import keep_orthonormal
from raynef.eigen.psi import AttentionPsi
from tests.known import present


def twins(num_rows: int, dim: int, dtype: torch.dtype = torch.float64) -> list[nn.Linear]:
    """Torch's orthogonal layer and ours, from the same draws."""
    layers = []
    for ours in (False, True):
        torch.manual_seed(0)
        layer = nn.Linear(dim, num_rows, dtype=dtype)
        if ours:
            keep_orthonormal(layer)
        else:
            orthogonal(layer, "weight", orthogonal_map="householder")
        layers.append(layer)
    return layers


def parameters(layer: nn.Linear) -> nn.Parameter:
    return next(p for name, p in layer.named_parameters() if name.endswith("original"))


@pytest.mark.parametrize(("num_rows", "dim"), [(1, 4), (8, 30), (29, 30)])
def test_weight_and_gradient_are_those_of_torchs_reflections(num_rows, dim):
    slow, fast = twins(num_rows, dim)
    assert torch.equal(slow.weight, fast.weight)  # the same matrix at first
    moved = torch.randn((num_rows, dim), dtype=torch.float64).triu(1)
    target = torch.randn((num_rows, dim), dtype=torch.float64)
    for layer in (slow, fast):
        with torch.no_grad():
            parameters(layer).add_(moved)
        (layer.weight * target).sum().backward()
    assert torch.allclose(slow.weight, fast.weight, atol=1e-12)
    gradients = [present(parameters(layer).grad) for layer in (slow, fast)]
    assert torch.allclose(gradients[0], gradients[1], atol=1e-11)


def test_weights_move_between_both():
    slow, fast = twins(8, 30)
    with torch.no_grad():
        parameters(slow).add_(torch.randn((8, 30), dtype=torch.float64).triu(1))
    fast.load_state_dict(slow.state_dict())
    assert torch.allclose(fast.weight, slow.weight, atol=1e-12)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_rows_stay_orthonormal_through_a_training(autocast, weight_decay, one_thread):
    layer = nn.Linear(192, 64)
    keep_orthonormal(layer)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=1e-2, weight_decay=weight_decay)
    before, inputs, targets = layer.weight.detach(), torch.randn(256, 192), torch.randn(256, 64)
    for _ in range(100):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            (layer(inputs).float() - targets).square().mean().backward()
        optimizer.step()
    weight = layer.weight.detach()
    assert (weight - before).abs().max() > 0.1
    assert (weight @ weight.T - torch.eye(64)).abs().max() < 1e-5


def test_a_square_weight_and_a_set_one():
    layer = nn.Linear(6, 6)
    keep_orthonormal(layer)
    assert torch.allclose(layer.weight @ layer.weight.T, torch.eye(6), atol=1e-6)
    wanted, _ = torch.linalg.qr(torch.randn(6, 6))
    with torch.no_grad():
        layer.weight = wanted.T
    assert torch.allclose(layer.weight, wanted.T, atol=1e-6)


def test_more_rows_than_numbers_are_refused():
    with pytest.raises(ValueError, match="7 rows of 6"):
        keep_orthonormal(nn.Linear(6, 7))


def test_few_operations_whatever_the_number_of_rows(one_thread):
    """Reflections one by one would take some forty for each row."""

    def operations(num_rows: int) -> int:
        psi = AttentionPsi(96, num_rows, num_blocks=1, num_heads=1, head_dim=8, mlp_dim=8)
        with torch.profiler.profile() as profile:
            psi(torch.randn(1, 3, 4, 32)).sum().backward()
        return sum(event.count for event in profile.key_averages())

    assert operations(90) <= operations(9) + 10
