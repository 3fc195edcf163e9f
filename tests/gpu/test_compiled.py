"""ψ's trunk as CUDA graphs: the training is the one without."""

import dataclasses

import pytest
import torch

from raynef.features.extract import Features
from raynef.models.training import Trainer
from tests.unit.models.test_training import planted, small_recipe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_cuda_graphs_make_the_same_training():
    device = torch.device("cuda")
    batch, _ = planted(8)
    moved = Features(*(getattr(batch, f.name).to(device) for f in dataclasses.fields(batch)))
    losses = []
    for compiled in (False, True):
        trainer = Trainer(small_recipe(compile=compiled), in_dim=36, num_steps=8, device=device)
        losses.append([trainer.step(moved, range(8), epoch=e).loss for e in range(8)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
