"""Agreement of a segmenter with itself: by hand, without labels, and in a trial that it steers."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from raynef.cluster.place import this_process
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image
from raynef.images.geometry import center_crop, resize, short_side_size
from raynef.jobs.agreement import agreement
from raynef.models.segmenter import Segmenter
from raynef.sweeps.space import Axis, Space
from raynef.sweeps.sweep import DataSet, plan
from raynef.sweeps.trials import Job, run_trial
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("without_ray")


def test_it_is_what_a_loop_over_images_finds(run_here, recipe, tmp_path):
    segmenter, images = Segmenter.load(run_here[0]), open_split(recipe.data, "train")
    plain, moved = [], []
    for file in images.files:
        image = read_image(file.path)
        crop = center_crop(resize(image, short_side_size(image.shape, 72)), 72)
        for maps, start in ((plain, 0), (moved, 8)):
            part = crop[None, start : start + 64, start : start + 64]
            maps.append(segmenter.patch_logits(part.copy()).argmax(dim=-1).numpy().ravel())
    bits = mutual_info_score(np.concatenate(plain), np.concatenate(moved)) / math.log(2)
    assert bits > 0.1
    found = agreement(segmenter, images, recipe.data)
    assert found == pytest.approx(bits / math.log2(12), abs=1e-6)
    kept = [agreement(segmenter, images, recipe.data, kept=tmp_path) for _ in range(2)]
    assert kept == [pytest.approx(found, abs=1e-6)] * 2


def test_it_reads_no_label(run_here, recipe, copy_of_sample):
    segmenter = Segmenter.load(run_here[0])
    data = change(recipe, data={"root": str(copy_of_sample)}).data
    found = agreement(segmenter, open_split(data, "train"), data)
    shutil.rmtree(copy_of_sample / "labels")
    assert agreement(segmenter, open_split(data, "train"), data) == found


def test_one_cluster_says_nothing(run_here, recipe):
    segmenter = Segmenter.load(run_here[0])
    with torch.no_grad():
        segmenter.head.head.bias[3] += 1e6
    assert agreement(segmenter, open_split(recipe.data, "train"), recipe.data) == 0


def test_it_steers_a_trial_at_rungs_and_at_its_end(recipe, tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr("raynef.sweeps.trials.tune.report", heard.append)
    asked = Space("test", "A test", axes=(Axis("graph.alpha", "grid", (0.0,)),), rows=("data",))
    longer = change(recipe, train={"epochs": 3})
    planned = plan(asked, [DataSet("sample", longer)], seeds=(0,), points=[{"graph.alpha": 0.0}])
    (trial,) = planned.trials
    with this_process():
        run_trial({}, Job(tmp_path, lambda _: trial, metric="agreement", rungs=(2,)))
    first, second, last = heard
    assert "agreement" not in first
    assert 0 < second["agreement"] <= 1
    assert "miou" not in second
    result = json.loads((tmp_path / "trials" / trial.name / "result.json").read_text())
    assert last["agreement"] == result["agreement"]
    run = Segmenter.load(tmp_path / "trials" / trial.name / "run")
    expected = agreement(run, open_split(recipe.data, "train"), recipe.data)
    assert result["agreement"] == pytest.approx(expected, abs=1e-6)
