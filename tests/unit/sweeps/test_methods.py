"""Methods: each is made by a job that is there, and sees what its record says."""

from dataclasses import replace

import pytest

from raynef.config.recipe import Data, Eigen, Graph, KMeans, Recipe, Train
from raynef.sweeps.methods import COLUMNS, METHODS, METRICS, SUPERVISED, job_of

RECIPE = Recipe(
    data=Data(root="/data"),
    graph=Graph(alpha=0.7),
    eigen=Eigen(num_eigenfunctions=8, beta=0.5),
    kmeans=KMeans(iterations=3),
    train=Train(seed=4, epochs=3),
)


@pytest.mark.parametrize("name", METHODS)
def test_its_jobs_and_metrics_are_there(name):
    method = METHODS[name]
    assert callable(job_of(method.job))
    assert not method.upon or callable(job_of(method.upon))
    assert set(method.metrics) <= set(METRICS)


def test_those_that_saw_labels_are_told_apart():
    assert {"probe", "probe_psi", "leaked", "leaked_star"} == SUPERVISED
    assert COLUMNS[:4] == ("kmeans", "kmeans_context", "spectral", "ours")
    assert METHODS["leaked_star"].recipe(RECIPE).train.leak_labels
    assert METHODS["ours_star"].recipe(RECIPE) == RECIPE


def test_a_method_sees_its_own_sections_and_the_seed():
    seen = METHODS["kmeans"].recipe(RECIPE)
    assert seen.kmeans == RECIPE.kmeans
    assert seen.eigen == replace(Recipe().eigen, num_eigenfunctions=8)
    assert (seen.graph, seen.train) == (Recipe().graph, Train(seed=4))
    assert METHODS["kmeans"].sees_field("eigen.num_eigenfunctions")
    assert not METHODS["kmeans"].sees_field("eigen.beta")
    assert METHODS["ours"].sees_field("eigen.beta")
    assert METHODS["localize"].sees_field("backbone")
