"""Sweeps: what is trained, what is shared, what survives, and what the table says."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import yaml

from raynef.cluster.place import this_process
from raynef.io.files import read_json
from raynef.jobs.train import train
from raynef.stores.run import RunFolder
from raynef.sweeps.space import Axis, Search
from raynef.sweeps.sweep import DataSet
from raynef.sweeps.table import write_tables
from raynef.sweeps.tune import Options, sweep
from tests.tiny import change
from tests.unit.sweeps.test_tune import ALPHA, space, times


@pytest.fixture(scope="module")
def swept(recipe, local_ray, tmp_path_factory):
    """Two α, two seeds, K-means and Ours* beside."""
    out = tmp_path_factory.mktemp("sweep") / "alpha"
    ablation = space(
        ALPHA,
        methods=("kmeans", "ours", "ours_star"),
        rows=("method",),
        columns=ALPHA.key,
        values=({"data": "pascal_context", "method": "ours", "miou": [38.6, 38.8]},),
        paper="Table 6",
        paper_leaked=True,
    )
    asked = (ablation, [DataSet("sample", recipe)], out)
    return asked, sweep(*asked, seeds=(0, 1))


def test_every_trial_is_done_and_kmeans_is_shared(swept):
    (_, _, out), result = swept
    # Two seeds of K-means, which does not see α, and two by two of Ours.
    assert (result["trials"], result["done"], result["failed"], result["ok"]) == (6, 6, {}, True)
    kinds = [read_json(path)["kind"] for path in out.glob("trials/*/trial.json")]
    assert sorted(kinds) == ["kmeans"] * 2 + ["ours"] * 4
    assert list(out.glob("tune/001/*/events.out.tfevents*"))


def test_features_are_made_once_and_results_are_kept(swept):
    asked, result = swept
    out = asked[-1]
    assert len(list((out / "features").iterdir())) == 1
    before = times(out, "features/*/*.parquet"), times(out, "trials/*/result.json")
    assert sweep(*asked, seeds=(0, 1)) == result
    assert (times(out, "features/*/*.parquet"), times(out, "trials/*/result.json")) == before


@pytest.mark.slow
def test_more_seeds_keep_what_is_there(swept, tmp_path):
    (ablation, data, out), _ = swept
    less = dataclasses.replace(ablation, methods=("ours",), axes=(Axis(ALPHA.key, "grid", (0.3,)),))
    before = times(out, "trials/*/result.json")
    result = sweep(less, data, out, seeds=(0, 1, 2))
    assert (result["trials"], result["done"]) == (3, 3)
    after = times(out, "trials/*/result.json")
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 1
    sweep(ablation, data, out, seeds=(0, 1))  # the record that the other tests read


@pytest.mark.slow
def test_another_protocol_scores_what_is_there(swept, recipe):
    (ablation, data, out), _ = swept
    one = space(Axis(ALPHA.key, "grid", (0.3,)))
    (trial,) = out.glob("trials/sample_ours_alpha=0.3_seed=0_*")
    assert RunFolder(trial / "run").recipe().evaluate == recipe.evaluate
    before = times(out, "trials/*/run/train.json")
    scores = len(list((trial / "run").glob("score-*.json")))
    whole = change(recipe, evaluate={"protocol": "whole", "short_side": 48})
    assert sweep(one, [dataclasses.replace(data[0], recipe=whole)], out)["done"] == 1
    assert times(out, "trials/*/run/train.json") == before
    assert len(list((trial / "run").glob("score-*.json"))) == scores + 1
    text = Path(write_tables(out)["table"]).read_text()
    assert "| sample | [" in text
    sweep(ablation, data, out, seeds=(0, 1))  # the record that the other tests read


def test_a_trial_is_what_raynef_train_makes(swept, recipe, tmp_path):
    (_, _, out), _ = swept
    (store,) = (out / "features").iterdir()
    alone = change(recipe, graph={"alpha": 0.0}, train={"store": str(store), "seed": 1})
    with this_process():
        train(alone, tmp_path / "alone")
    (trial,) = out.glob("trials/sample_ours_alpha=0_seed=1_*")

    def losses(run):
        return [json.loads(line)["loss"] for line in (run / "steps.jsonl").open()]

    assert losses(trial / "run") == pytest.approx(losses(tmp_path / "alone"), rel=1e-5)


def test_the_table(swept):
    (_, _, out), _ = swept
    written = write_tables(out)
    text = Path(written["table"]).read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert lines[0] == "| method | α = 0 | α = 0.3 |"
    ours = next(line for line in lines if line.startswith("| Ours |"))
    assert "(38.6†‡)" in ours
    assert "(38.8†‡)" in ours
    assert " ± " in ours
    assert "(trials/sample_ours_alpha=0_seed=0_" in ours
    assert "[s1](trials/sample_ours_alpha=0_seed=1_" in ours
    assert "(38" not in next(line for line in lines if line.startswith("| K-means |"))
    assert all((out / run).is_dir() for run in _links(text))
    assert "In brackets: Table 6." in text
    rows = list(csv.DictReader(Path(written["csv"]).read_text().splitlines()))
    assert len(rows) == 2 * 2 * 3
    kept = next(r for r in rows if (r["method"], r[ALPHA.key], r["seed"]) == ("ours", "0.3", "1"))
    scores = read_json(out / Path(kept["run"]).parent / "result.json")["scores"]
    assert float(kept["miou"]) == pytest.approx(100 * scores[0]["miou"], abs=1e-3)
    tex = Path(written["latex"]).read_text()
    assert "$\\alpha$ = 0.3" in tex
    assert "$^\\dagger$$^\\ddagger$" in tex


def _links(text):
    import re

    return re.findall(r"\]\(([^)]+)\)", text)


@pytest.mark.slow
def test_a_failed_trial_is_reported_and_ends_nothing(swept, tmp_path):
    (_, data, out), _ = swept
    again = Path(shutil.copytree(out, tmp_path / "again"))
    infinite = space(Axis(ALPHA.key, "grid", (0.3, 1e38)), columns=ALPHA.key)
    result = sweep(infinite, data, again)
    assert (result["done"], result["ok"]) == (1, False)
    (error,) = result["failed"].values()
    assert "the loss is" in error
    assert "A lower train.lr usually helps" in error
    assert "failed" in Path(write_tables(again)["table"]).read_text()


@pytest.mark.slow
def test_features_that_cannot_be_made_fail_their_trials_alone(
    recipe, tiny_weights, local_ray, tmp_path
):
    (tmp_path / "good.yaml").write_text(
        yaml.safe_dump({"backbone": dataclasses.asdict(recipe.backbone)})
    )
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(tiny_weights.read_bytes()[:1000])
    (tmp_path / "torn.yaml").write_text(
        yaml.safe_dump({"backbone": {"name": recipe.backbone.name, "weights": str(torn)}})
    )
    files = tuple(str(tmp_path / f"{name}.yaml") for name in ("good", "torn"))
    out = tmp_path / "sweep"
    result = sweep(
        space(Axis("backbone", "grid", files), columns="backbone"),
        [DataSet("sample", recipe)],
        out,
        seeds=(0, 1),
    )
    assert (result["trials"], result["done"]) == (4, 2)
    assert len(result["failed"]) == 2
    assert all("torn" in name and "torn.safetensors" in e for name, e in result["failed"].items())


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["agreement", "objective", "miou"])
def test_a_search_learns_stops_and_goes_on(recipe, local_ray, tmp_path, metric, caplog):
    axes = (
        Axis("graph.alpha", "uniform", (0.0, 1.0)),
        Axis("eigen.num_eigenfunctions", "choice", (6, 12)),
    )
    asked = Search(
        num_samples=3,
        algorithm="optuna",
        metric=metric,
        grace_epochs=1,
        reduction=2,
    )
    out = tmp_path / "search"
    data = [DataSet("sample", change(recipe, train={"epochs": 3}))]
    with caplog.at_level("INFO", logger="raynef"):
        first = sweep(space(*axes, search=dataclasses.replace(asked, num_samples=2)), data, out)
    assert ("LABELS" in caplog.text) == (metric == "miou")
    assert first["done"] + len(first["stopped"]) == 2
    before = times(out, "trials/*/trial.json")
    result = sweep(space(*axes, search=asked), data, out)
    assert result["done"] + len(result["stopped"]) == result["trials"] == 3
    after = times(out, "trials/*/trial.json")
    assert {path: after[path] for path in before} == before
    text = Path(write_tables(out)["table"]).read_text()
    assert "steered this search" in text
    assert ("The LABELS" in text) == (metric == "miou")


def test_random_points_follow_from_the_seed(recipe, local_ray, tmp_path):
    from raynef.sweeps.search import drawn_points

    drawn = space(
        Axis("graph.alpha", "uniform", (0.0, 1.0)),
        Axis("graph.num_neighbors", "randint", (4, 12)),
        search=Search(num_samples=3, scheduler="none"),
    )
    points = drawn_points(drawn, seed=0)
    assert points == drawn_points(drawn, seed=0) != drawn_points(drawn, seed=1)
    assert all(
        type(p["graph.num_neighbors"]) is int and 4 <= p["graph.num_neighbors"] < 12 for p in points
    )
    assert len({p["graph.alpha"] for p in points}) == 3


@pytest.mark.slow
def test_trials_that_need_several_workers(recipe, local_ray, tmp_path):
    """Ray Train within Ray Tune, two trials at a time: the same curves, and no deadlock."""
    out = tmp_path / "sweep"
    two = change(recipe, train={"num_workers": 2})
    asked = space(ALPHA, methods=("ours", "ours_star"), columns=ALPHA.key, rows=("method",))
    result = sweep(asked, [DataSet("sample", two)], out, options=Options(max_concurrent=2))
    assert (result["done"], result["ok"]) == (2, True)
    (store,) = (out / "features").iterdir()
    alone = change(recipe, graph={"alpha": 0.0}, train={"store": str(store)})
    with this_process():
        train(alone, tmp_path / "alone")
    (trial,) = out.glob("trials/sample_ours_alpha=0_*")
    ours, theirs = (
        [json.loads(line)["loss"] for line in (run / "steps.jsonl").open()]
        for run in (trial / "run", tmp_path / "alone")
    )
    assert ours == pytest.approx(theirs, rel=1e-3)
