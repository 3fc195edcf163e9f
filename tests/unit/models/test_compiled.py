"""ψ's trunk compiled: the same training, whatever compiles it."""

from dataclasses import replace
from typing import Literal

import pytest
import torch

from raynef.config.recipe import Eigen
from raynef.core.errors import UserError
from raynef.models.training import Trainer
from tests.unit.models.test_training import planted, small_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


def losses(compile_, network: Literal["attention", "convolution"] = "attention", steps=4):
    eigen = Eigen(num_eigenfunctions=4, network=network)
    recipe = replace(small_recipe(compile=compile_), eigen=eigen)
    trainer = Trainer(recipe, in_dim=36, num_steps=steps)
    batch, _ = planted(8)
    batch.valid[0, :2] = False
    return [trainer.step(batch, range(8), epoch=step).loss for step in range(steps)], trainer


def test_it_is_asked_for_by_a_field_and_weights_stay_where_they_are(monkeypatch):
    asked, called = [], []

    def compiler(function, **options):
        asked.append(options)
        return lambda *args: called.append(1) or function(*args)

    monkeypatch.setattr(torch, "compile", compiler)
    plain, trainer = losses(False)
    assert not asked
    ours, compiled = losses(True)
    assert [options["dynamic"] for options in asked] == [False]
    assert len(called) == len(ours)  # every step goes through it
    assert ours == plain
    assert compiled.state_dict()["psi"].keys() == trainer.state_dict()["psi"].keys()
    compiled.load_state_dict(trainer.state_dict())


def test_where_torch_cannot_compile_it_says_so(monkeypatch):
    from torch._dynamo.exc import TorchDynamoException

    def failing(function, **options):
        def call(*args):
            raise TorchDynamoException("no C++ compiler was found\nand more")

        return call

    monkeypatch.setattr(torch, "compile", failing)
    with pytest.raises(UserError, match=r"cannot compile ψ here \(no C\+\+ compiler was found\)"):
        losses(True)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["attention", "convolution"])
def test_inductor_makes_the_same_training(network):
    expected, trainer = losses(False, network)
    found, compiled = losses(True, network)
    assert found == pytest.approx(expected, rel=1e-4)
    for name, weight in trainer.psi.state_dict().items():
        torch.testing.assert_close(compiled.psi.state_dict()[name], weight, rtol=1e-3, atol=1e-4)
