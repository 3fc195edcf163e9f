"""Images that are solved together have the pairs that each has alone."""

import pytest
import torch

from raynef.jobs.shards import ShardUnit
from raynef.jobs.spectral.solve import EigenActor, solve_images
from raynef.work.units import Carried
from tests.unit.jobs.spectral import test_solve as unit_tests
from tests.unit.jobs.spectral.test_solve import SPECTRAL, assert_same

images = unit_tests.images
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def test_on_a_gpu(images, tmp_path):
    unit = ShardUnit(range(len(images)), folder=tmp_path, file="shard-000000.parquet")
    found = EigenActor(SPECTRAL, "cuda")(Carried(unit, dict(enumerate(images)))).values
    for one, wanted in zip(found.values(), solve_images(images, SPECTRAL), strict=True):
        assert_same(one, wanted)
