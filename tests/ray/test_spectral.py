"""Deep Spectral Methods from images to boxes, masks and labels, on a tiny sample."""

import numpy as np
import pytest

from raynef.jobs.spectral.eigen import EigenStore, eigen
from raynef.jobs.spectral.localize import localize
from raynef.jobs.spectral.objects import segment_objects
from raynef.jobs.spectral.semantic import semantic


@pytest.mark.slow
def test_ray_makes_the_same(store, whole, local_ray, tmp_path):
    eigen(whole, tmp_path / "store")
    for index in range(10):
        here = EigenStore(store / "eigen").read(index)
        there = EigenStore(tmp_path / "store" / "eigen").read(index)
        np.testing.assert_allclose(there.values, here.values, atol=1e-5)
    assert localize(tmp_path / "store", lost=False)["num_images"] == 10
    assert segment_objects(tmp_path / "store")["num_images"] == 10
    assert semantic(tmp_path / "store", whole)["num_images"] == 10
