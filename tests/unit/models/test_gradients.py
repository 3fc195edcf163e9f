"""Gradients on their way while the backward pass goes on."""

import pytest
import torch
from torch import nn

from raynef.core.collectives import SingleProcess
from raynef.models import gradients
from raynef.models.gradients import GradientSum
from tests.known import present


class Twins(SingleProcess):
    """Collectives of one of two workers that have the same; notes what had a gradient, when."""

    world_size = 2

    def __init__(self, module: nn.Module) -> None:
        self.module, self.begun = module, []

    def begin_sum(self, value):
        there = {name for name, p in self.module.named_parameters() if p.grad is not None}
        self.begun.append((value.numel(), there))
        return lambda: 2 * value


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 2))
    layers.register_parameter("unused", nn.Parameter(torch.ones(3)))
    return layers


def loss_of(module: nn.Module, step: int = 0):
    return module(torch.arange(12.0).view(3, 4) / 10 + step).square().mean()


@pytest.mark.parametrize("most", [1, 64, 300, 1 << 62])
def test_buckets_of_any_size_give_the_sum(most, monkeypatch):
    monkeypatch.setitem(gradients._BUCKET_BYTES, "cpu", most)
    alone, shared = network(), network()
    twins = Twins(shared)
    ways = (
        GradientSum(alone.parameters(), SingleProcess()),
        GradientSum(shared.parameters(), twins),
    )
    for step in range(2):
        for module, way in zip((alone, shared), ways, strict=True):
            module.zero_grad(set_to_none=True)
            way.backward(loss_of(module, step))
        for (name, one), two in zip(alone.named_parameters(), shared.parameters(), strict=True):
            if name == "unused":
                assert one.grad is None
                assert not present(two.grad).any()
            else:
                assert torch.equal(2 * present(one.grad), present(two.grad))
    per_step = len(twins.begun) // 2
    assert sum(count for count, _ in twins.begun[:per_step]) == 40 + 72 + 18 + 3
    assert (per_step > 2) == (most <= 64)


def test_the_last_layers_go_before_the_first_have_theirs(monkeypatch):
    monkeypatch.setitem(gradients._BUCKET_BYTES, "cpu", 64)
    module = network()
    del module._parameters["unused"]  # what has no gradient keeps all behind it
    twins = Twins(module)
    GradientSum(module.parameters(), twins).backward(loss_of(module))
    first = twins.begun[0][1]
    assert first <= {"3.weight", "3.bias"}
    assert twins.begun[-1][1] == {name for name, _ in module.named_parameters()}
