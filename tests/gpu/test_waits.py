"""What the host waits for in a training step on a GPU, as CUDA's debug mode sees it."""

import dataclasses
import warnings

import pytest
import torch

from raynef.config.recipe import Eigen, Graph, Recipe, Train
from raynef.models.training import Trainer
from raynef.ops.rates import drawn_teachers
from tests.unit.models.test_training import planted

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize(("objective", "most"), [("clusterings", 0), ("eigenfunctions", 4)])
def test_a_step_waits_for_the_graph_of_pixels_alone(objective, most):
    """Its edges are as many as differ; the record comes beside what the GPU was given after it."""
    recipe = Recipe(
        graph=Graph(num_neighbors=24),
        eigen=Eigen(num_eigenfunctions=4, objective=objective),
        train=Train(batch_size=8),
    )
    teachers = drawn_teachers(recipe, 12)
    trainer = Trainer(
        recipe, in_dim=36, num_steps=4, device=torch.device("cuda"), teachers=teachers
    )
    batch, _ = planted(8)
    batch.valid[1, :2] = False
    pinned = dataclasses.replace(batch, taps=batch.taps.pin_memory())
    for epoch in range(2):
        trainer.step(pinned, range(8), epoch=epoch)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            trainer.step(pinned, range(8), epoch=2)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([one for one in seen if "synchroniz" in str(one.message)]) <= most
