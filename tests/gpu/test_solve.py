"""Images that are solved together have the pairs that each has alone."""

from raynef.jobs.spectral.solve import EigenActor, solve_images
from tests.unit.jobs.spectral.test_solve import SPECTRAL, assert_same


def test_on_a_gpu(images):
    found = EigenActor(SPECTRAL, "cuda")({"given": list(images)})["pairs"]
    for one, wanted in zip(found, solve_images(images, SPECTRAL), strict=True):
        assert_same(one, wanted)
