"""A STORE of the tiny sample, for whatever is made of it."""

import dataclasses

import pytest

from raynef.cluster.session import this_process
from raynef.config.recipe import Spectral
from raynef.jobs.spectral.eigen import eigen


@pytest.fixture(scope="module")
def whole(recipe):
    """The recipe for whole images: keys of a random ViT, six eigenvectors."""
    few = Spectral(num_eigenvectors=6, num_segments=4, num_clusters=3)
    return dataclasses.replace(recipe, spectral=few)


@pytest.fixture(scope="module")
def store(whole, tmp_path_factory):
    """A STORE of the sample, made in this process."""
    out = tmp_path_factory.mktemp("spectral") / "store"
    with this_process():
        result = eigen(whole, out)
    assert (result["num_images"], result["not_converged"], result["skipped"]) == (10, 0, {})
    return out
