"""The step on a GPU beside the CPU's (by hand, where there is one: pytest -m gpu)."""

import pytest
import torch

from raynef.config.recipe import Eigen, Graph, Recipe, Train
from raynef.eigen import eigenfunction_objective
from raynef.graph import build_kernel
from raynef.models.training import Trainer
from tests.known import present
from tests.unit.eigen.test_objective import probabilities
from tests.unit.graph.test_kernel import batch
from tests.unit.models.test_training import planted

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_kernel_loss_and_gradient_are_those_of_the_cpu():
    features, thumbnails = batch(3, 8, 8, 24)
    psi = probabilities(192, 16)
    found = {}
    for device in ("cpu", "cuda"):
        kernel = build_kernel(
            features.to(device), thumbnails.to(device), num_neighbors=30, alpha=0.3
        )
        leaf = psi.to(device).requires_grad_()
        terms = eigenfunction_objective(leaf, kernel, beta_eff=0.1)
        (gradient,) = torch.autograd.grad(terms.loss, leaf)
        found[device] = (terms.loss.detach().cpu(), gradient.cpu())
    assert torch.allclose(found["cpu"][0], found["cuda"][0], rtol=1e-9)
    assert torch.allclose(found["cpu"][1], found["cuda"][1], atol=1e-9)


def test_training_with_autocast_recovers_planted_blocks():
    recipe = Recipe(
        graph=Graph(num_neighbors=24), eigen=Eigen(num_eigenfunctions=4), train=Train(batch_size=8)
    )
    trainer = Trainer(recipe, in_dim=36, num_steps=60, device=torch.device("cuda"))
    features, _ = planted(8)
    metrics = [trainer.step(features, range(8), epoch=step) for step in range(60)][-1]
    assert present(metrics.trace) > 3.5
    assert metrics.clusters_in_use == 4
