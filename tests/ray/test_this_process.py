"""Work in this process alone: the same results as on Ray, without it."""

import numpy as np
import pytest

import raynef
from raynef.cluster.place import this_process
from raynef.io.files import read_json
from raynef.jobs.evaluate import evaluate
from raynef.jobs.kmeans import kmeans
from tests.tiny import change
from tests.unit.jobs import test_this_process as unit

here = unit.here


def test_the_same_curve_as_on_ray_train(here, run_on_ray):
    run, _ = here
    unit.assert_same_curve(run, run_on_ray[0])


def test_the_same_scores_as_on_ray(here, local_ray):
    run, _ = here
    found = read_json(run / "evaluate.json")
    result = evaluate(run)
    for name in ("miou", "accuracy", "per_class_iou", "num_images"):
        assert result[name] == found[name]


@pytest.mark.slow
def test_the_same_kmeans_as_on_ray(here, recipe, local_ray, tmp_path):
    run, _ = here
    stored = change(recipe, train={"store": str(run / "store")})
    kmeans(stored, tmp_path / "ray")
    with this_process():
        kmeans(stored, tmp_path / "here")
    ours, theirs = (raynef.Segmenter.load(tmp_path / name).head for name in ("here", "ray"))
    np.testing.assert_array_equal(ours.head.weight.detach(), theirs.head.weight.detach())
