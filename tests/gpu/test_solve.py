"""Eigenpairs by products in float32 on a GPU are those of the CPU, refined in float64."""

import pytest
import torch

from raynef.jobs.shards import ShardUnit
from raynef.jobs.spectral.solve import EigenActor, solved
from raynef.work.units import Carried
from tests.unit.jobs.spectral import test_solve as unit_tests
from tests.unit.jobs.spectral.test_solve import SPECTRAL, assert_same

images = unit_tests.images
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_on_a_gpu(images, tmp_path):
    unit = ShardUnit(range(len(images)), folder=tmp_path, file="shard-000000.parquet")
    actor = EigenActor(SPECTRAL, "cuda")
    assert actor.products == torch.float32
    found = actor(Carried(unit, dict(enumerate(images)))).values
    for index, image in enumerate(images):
        wanted = solved([image], SPECTRAL)[0]
        assert_same(found[index], wanted, values=1e-7, residual=2e-5)
