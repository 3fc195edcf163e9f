"""Sweeps: what is trained, what is shared, what survives, and what the table says."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import yaml

from raynef.cli.commands import parse
from raynef.cli.main import main
from raynef.cli.tune import Tune
from raynef.cluster.place import this_process
from raynef.config.presets import load_presets
from raynef.config.recipe import to_dict
from raynef.core.errors import UserError
from raynef.jobs import extract as features
from raynef.models.segmenter import Segmenter
from raynef.sweeps.space import Axis, Search, Space
from raynef.sweeps.sweep import DataSet, plan
from raynef.sweeps.trials import Job, run_trial
from raynef.sweeps.tune import Options, _cause, _concurrent, _gpu_share, _loggers, _rungs, sweep
from raynef.work.views import FeatureActor
from tests.known import a, present
from tests.tiny import change

ALPHA = Axis("graph.alpha", "grid", (0.0, 0.3))


def space(*axes, **fields):
    fields = {"rows": ("data",), "metrics": ("miou",), **fields}
    return Space("test", "A test", axes=axes, **fields)


def times(out, pattern):
    return {path: path.stat().st_mtime_ns for path in out.glob(pattern)}


def test_the_backbone_runs_once_for_each_image_and_view(recipe, tmp_path, monkeypatch):
    """All in this process, so that every call can be counted."""
    seen = []
    original = FeatureActor.__call__

    def counting(self, unit):
        seen.extend((unit.unit.view, image) for image in unit.unit.images)
        return original(self, unit)

    monkeypatch.setattr(FeatureActor, "__call__", counting)
    scored, taps = [], Segmenter.taps

    def counted(self, padded):
        scored.extend(image.tobytes() for image in padded)
        return taps(self, padded)

    monkeypatch.setattr(Segmenter, "taps", counted)
    monkeypatch.setattr("raynef.sweeps.trials.tune.report", lambda values: None)
    planned = plan(
        space(ALPHA, methods=("kmeans", "ours", "ours_star")),
        [DataSet("sample", recipe)],
        seeds=(0,),
        points=[{ALPHA.key: 0.0}, {ALPHA.key: 0.3}],
    )
    by_name = {trial.name: trial for trial in planned.trials}
    from raynef.images.datasets.registry import open_split
    from raynef.sweeps.shared import store_of

    with this_process():
        images = open_split(recipe.data, "train")
        features.ensure_store(recipe, images, store_of(tmp_path, recipe))
        for name in by_name:
            run_trial({"trial": name}, Job(tmp_path, lambda config: by_name[config["trial"]]))
    assert len(by_name) == 3
    assert all((tmp_path / "trials" / name / "result.json").is_file() for name in by_name)
    assert sorted(seen) == [(view, image) for view in range(2) for image in range(10)]
    assert len(scored) == len(set(scored)) == 4  # validation images, of five scores


@pytest.mark.parametrize(
    ("wanted", "workers", "cpus", "gpus", "concurrent"),
    [(None, 1, 8, 0, 1), (4, 1, 8, 0, 4), (64, 1, 2, 0, 2), (None, 1, 16, 4, 4), (8, 1, 16, 4, 8),
     (None, 2, 16, 4, 2), (5, 2, 6, 0, 3)],
)  # fmt: skip
def test_trials_side_by_side(wanted, workers, cpus, gpus, concurrent, caplog):
    with caplog.at_level("WARNING", logger="raynef"):
        assert _concurrent(wanted, workers, cpus, gpus, nodes=1) == concurrent
    assert ("the others wait" in caplog.text) == (wanted is not None and wanted > concurrent)


def test_a_trial_that_never_fits_is_refused():
    with pytest.raises(UserError, match="a trial needs 4 workers, but the cluster has 2 CPUs"):
        _concurrent(None, 4, 2, 0, nodes=2)


def test_shares_rungs_and_causes():
    assert [_gpu_share(*pair) for pair in ((1, 0), (4, 4), (5, 4), (3, 1))] == [0, 1, 0.5, 1 / 3]
    assert _rungs(Search(metric="miou", grace_epochs=2, reduction=3), 40) == (2, 6, 18)
    assert _rungs(Search(metric="miou", grace_epochs=4, reduction=3), 4) == ()
    assert _rungs(Search(metric="agreement", grace_epochs=2, reduction=3), 40) == (2, 6, 18)
    assert _rungs(Search(metric="objective"), 40) == ()
    text = "Traceback\n  File x\nray.exceptions.RayTaskError(KeyError): y\nKeyError: 'z'\n"
    assert _cause(RuntimeError(text)) == "KeyError: 'z'"


@pytest.mark.parametrize("flag", ["mlflow", "wandb"])
def test_a_missing_logger_names_its_extra(flag, monkeypatch):
    monkeypatch.setitem(sys.modules, flag, None)
    with pytest.raises(UserError, match=rf"--{flag} .* pip install 'raynef\[{flag}\]'"):
        _loggers(dataclasses.replace(Options(), **{flag: "somewhere"}))


def test_bad_requests_are_refused_before_anything_is_made(recipe, tmp_path):
    data = DataSet("sample", recipe)
    for asked, message in (
        (([],), "a sweep needs a data set"),
        (([data, data],), "two data sets have the name sample"),
    ):
        with pytest.raises(UserError, match=message):
            sweep(space(ALPHA), *asked, tmp_path / "out")
    with pytest.raises(UserError, match=r"--targets cityscapes=DIR"):
        sweep(space(targets=("cityscapes",)), [data], tmp_path / "out")
    search = space(Axis("graph.alpha", "uniform", (0, 1)), search=Search())
    with pytest.raises(UserError, match="one data set and one seed"):
        sweep(search, [data], tmp_path / "out", seeds=(0, 1))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(UserError, match="not empty and no sweep"):
        sweep(space(ALPHA), [data], tmp_path / "full")
    wrong = dataclasses.replace(data, recipe=change(recipe, data={"root": "/nowhere"}))
    with pytest.raises(UserError, match="/nowhere"):
        sweep(space(ALPHA), [wrong], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def asked_for(*flags):
    """What the command hands to the sweep."""
    return present(a(Tune, parse(["tune", *map(str, flags)])).asked)


def test_flags_go_over_the_space_over_presets(tmp_path):
    asked = asked_for(
        "beta", "--out", tmp_path, "--roots", "pascal_context=/p", "folder=/data/msrc",
        "--train.epochs", 2,
    )  # fmt: skip
    paper, folder = asked.data
    assert (paper.name, folder.name) == ("pascal_context", "msrc")
    assert (paper.recipe.data.root, folder.recipe.data.root) == ("/p", "/data/msrc")
    assert (paper.recipe.data.crop, folder.recipe.data.crop) == (480, 320)
    assert {d.recipe.eigen.num_eigenfunctions for d in asked.data} == {256}
    assert {d.recipe.train.epochs for d in asked.data} == {2}
    seeds = ["--seeds", "3", "4"]
    args = a(Tune, parse(["tune", "beta", "--out", "S", "--data.root", "/p", *seeds]))
    assert args.seeds == (3, 4)


def test_a_protocol_is_laid_over_its_data_set(tmp_path):
    asked = asked_for("protocol", "--out", tmp_path, "--roots", "cityscapes=/c")
    (data,) = asked.data
    assert data.name == "cityscapes"
    assert data.recipe.data.name == "cityscapes_19"
    assert (data.recipe.evaluate.protocol, data.recipe.evaluate.window) == ("sliding", 768)


def test_one_data_set_by_its_root(tmp_path):
    asked = asked_for("alpha", "--recipe", "cityscapes", "--data.root", "/c", "--out", tmp_path)
    assert [d.name for d in asked.data] == ["cityscapes"]
    zero = asked_for(
        "zero_shot", "--roots", "imagenet=/i", "--targets", "cityscapes=/c",
        "folder=/m", "--out", tmp_path,
    )  # fmt: skip
    assert [target.name for target in zero.targets] == ["cityscapes", "m"]


def test_presets_of_a_space_lie_under_those_of_the_user(tmp_path):
    asked = asked_for("dsm_semantic", "--recipe", "voc2012", "dino_s16", "--data.root", "/v",
                      "--out", tmp_path)  # fmt: skip
    (data,) = asked.data
    assert (data.name, data.recipe.data.name) == ("voc2012_aug", "voc2012_aug")
    assert data.recipe.backbone.name == "vit_small_patch16_224.dino"


def test_a_spectral_space_on_other_images(tmp_path):
    asked = asked_for(
        "dsm_color", "--recipe", "voc_boxes", "--data.root", "/b", "--out", tmp_path,
        "--backbone.name", "vit_tiny_patch16_224", "--backbone.weights", "w.safetensors",
        "--spectral.max-side", "320",
    )  # fmt: skip
    (data,) = asked.data
    assert (data.name, data.recipe.data.train_split) == ("voc_boxes", "trainval")
    assert data.recipe.backbone.name == "vit_tiny_patch16_224"
    assert data.recipe.spectral.max_side == 320


@pytest.mark.parametrize("flag", ["--backbone.name", "--backbone.weights"])
def test_an_axis_over_backbones_takes_no_flag_of_one(tmp_path, flag):
    with pytest.raises(UserError, match=rf"{flag}: backbone is an axis of space backbone"):
        asked_for("backbone", "--data.root", "/b", "--out", tmp_path, flag, "x")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), r"where is the data\? .* --roots pascal_context=DIR cityscapes=DIR"),
        (("--roots", "msrc"), r"--roots takes PRESET=DIR"),
        (("--roots", "msrc=/m"), r"neither a \.yaml file nor one of"),
        (("--roots", "folder=/m", "--data.root", "/m"), r"give one of them"),
        (("--data.root", "/m", "--graph.alpha", "1"), r"--graph\.alpha is an axis"),
    ],
)
def test_what_a_user_may_get_wrong(tmp_path, capsys, caplog, flags, message):
    import re

    with pytest.raises(SystemExit) as exit_:
        main(["tune", "alpha", "--out", str(tmp_path / "out"), *flags])
    assert exit_.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_table_of_what_is_no_sweep(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["table", str(tmp_path)])
    assert exit_.value.code == 2
    assert "is no sweep" in capsys.readouterr().err


@pytest.mark.slow
def test_killing_the_driver_twice_loses_no_finished_trial(recipe, tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(to_dict(recipe)))
    (tmp_path / "space.yaml").write_text(
        yaml.safe_dump(
            {"title": "t", "axes": {"graph.alpha": {"grid": [0, 0.1, 0.2, 0.3, 0.4, 0.5]}}}
        )
    )
    out = tmp_path / "out"
    line = [
        sys.executable, "-m", "raynef", "tune", str(tmp_path / "space.yaml"),
        "--recipe", str(tmp_path / "recipe.yaml"), "--train.epochs", "6", "--out", str(out),
    ]  # fmt: skip
    draws, kept = random.Random(os.getpid()), {}
    for done_before in (1, 3):
        driver = subprocess.Popen(line, stderr=subprocess.PIPE, start_new_session=True)
        deadline = time.monotonic() + 400
        while len(list(out.glob("trials/*/result.json"))) < done_before:
            assert driver.poll() is None, present(driver.stderr).read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(draws.uniform(0, 6))
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        found = times(out, "trials/*/result.json")
        assert {path: found.get(path) for path in kept} == kept
        kept = found
    finished = subprocess.run(line, capture_output=True, text=True, check=True)
    result = json.loads(finished.stdout.splitlines()[-1])
    assert (result["done"], result["trials"], result["ok"]) == (6, 6, True)
    found = times(out, "trials/*/result.json")
    assert {path: found[path] for path in kept} == kept


@pytest.mark.parametrize("presets", [(), ("--recipe", "folder"), ("--recipe", "folder", "paper")])
def test_a_space_of_eigenfunctions_trains_them_whatever_the_preset(presets, tmp_path):
    """``folder`` learns clusterings, which see no α; the user's flags still have the last word."""
    flags = ("--out", tmp_path, "--data.root", "/p", *presets, "--train.epochs", 2)
    found = asked_for("alpha", *flags).data[0].recipe
    wanted = load_presets(["folder", "paper"])
    assert (found.eigen, found.data.views) == (wanted.eigen, "augmented")
    assert found.train == dataclasses.replace(wanted.train, epochs=2)
