"""Where a CRF comes before the score: both columns, the paper's number beside the right one."""

import csv
import dataclasses
import json
from types import SimpleNamespace

import pytest

from raynef.config.recipe import Data, Evaluate, Recipe, to_dict
from raynef.io.files import read_json, write_json
from raynef.sweeps import runs
from raynef.sweeps.methods import METRICS, with_crf
from raynef.sweeps.request import with_crf_columns
from raynef.sweeps.space import Axis, Space
from raynef.sweeps.sweep import DataSet, Target
from raynef.sweeps.sweep_folder import open_sweep
from raynef.sweeps.table import grid_of_sweep, write_tables

SPACE = Space(
    source="x",
    title="The weight α",
    paper="Table 6",
    paper_leaked=True,
    paper_crf=True,
    axes=(Axis("graph.alpha", "grid", (0.1, 0.3)),),
    metrics=("miou",),
    rows=("data",),
    columns="graph.alpha",
    values=({"data": "scn", "miou": [37.9, 38.8]},),
)


def swept(folder, space, *, crf):
    """A sweep of two trials that are done, scored after a CRF too or not."""
    recipe = to_dict(Recipe(data=Data(root="x")))
    trials, cells = [], []
    for alpha in (0.1, 0.3):
        name = f"alpha={alpha}"
        trials.append({"name": name, "about": name, "point": {"graph.alpha": alpha}})
        where = {"data": "scn", "method": "ours", "graph.alpha": alpha}
        cells.append({"where": where, "seed": 0, "trial": name, "method": "ours", "score": "k"})
        score = {"method": "ours", "score": "k", "run": "run", "num_images": 3, "miou": alpha}
        score |= {"data": recipe["data"], "evaluate": recipe["evaluate"]}
        score |= {"accuracy": 0.5} | ({"miou_crf": alpha + 0.01} if crf else {})
        write_json(folder / "trials" / name / "result.json", {"scores": [score]})
        trial = {"kind": "ours", "seed": 0, "recipe": recipe}
        write_json(folder / "trials" / name / "trial.json", trial)
    record = {
        "space": space.plain(),
        "cells": cells,
        "trials": trials,
        "environment": {"machine": {"cores": 2, "processor": "x"}, "started": "2026-01-01"},
        "data": [{"name": "scn", "preset": "scn"}],
        "targets": [],
        "seeds": [0],
    }
    write_json(folder / "sweep.json", record)
    return open_sweep(folder)


def test_the_papers_number_stands_beside_the_score_after_the_crf(tmp_path):
    both = dataclasses.replace(SPACE, metrics=with_crf(SPACE.metrics))
    sweep = swept(tmp_path, both, crf=True)
    text = (tmp_path / "table.md").read_text() if write_tables(tmp_path) else ""
    plain, after = [row for row in text.splitlines() if row.startswith("| scn")]
    assert "mIoU (%)" in plain
    assert "37.9" not in plain
    assert "mIoU, CRF (%)" in after
    assert "11.0" in after
    assert "(37.9†)" in after
    assert "§" not in text
    with (tmp_path / "table.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["paper_miou_crf"] for row in rows] == ["37.9", "38.8"]
    assert [row["paper_miou"] for row in rows] == ["", ""]
    assert len(grid_of_sweep(sweep).rows) == 2


def test_without_a_crf_the_papers_number_is_marked(tmp_path):
    swept(tmp_path, SPACE, crf=False)
    write_tables(tmp_path)
    text = (tmp_path / "table.md").read_text()
    assert "(37.9†§)" in text
    assert "§ The paper's number is scored after a CRF, ours is not." in text
    assert "$^\\S$" in (tmp_path / "table.tex").read_text()


def test_a_score_without_the_crf_that_others_have_is_missing_not_an_error(tmp_path):
    both = dataclasses.replace(SPACE, metrics=with_crf(SPACE.metrics))
    swept(tmp_path, both, crf=False)
    write_tables(tmp_path)
    after = [row for row in (tmp_path / "table.md").read_text().splitlines() if "CRF (%)" in row]
    assert "–" in after[0]


def test_the_protocol_decides_about_the_columns():
    scored = Recipe(evaluate=Evaluate(crf=True))
    assert with_crf_columns(SPACE, [DataSet("scn", Recipe())], ()).metrics == ("miou",)
    with_one = with_crf_columns(SPACE, [DataSet("scn", scored)], ())
    assert with_one.metrics == ("miou", "miou_crf")
    # Targets are what is scored, where there are any.
    target = Target("t", Data(), Evaluate())
    assert with_crf_columns(SPACE, [DataSet("scn", scored)], [target]).metrics == ("miou",)
    axis = dataclasses.replace(SPACE, axes=(Axis("evaluate.crf", "grid", (False, True)),))
    assert with_crf_columns(axis, [DataSet("scn", Recipe())], ()).metrics == ("miou", "miou_crf")
    assert with_crf(("accuracy", "miou", "corloc")) == (
        "accuracy", "accuracy_crf", "miou", "miou_crf", "corloc",
    )  # fmt: skip
    assert set(with_crf(METRICS)) == set(METRICS)


@pytest.mark.parametrize("old", [False, True])
def test_a_score_with_a_crf_holds_both(monkeypatch, tmp_path, old):
    """Also where the file is from a time when it held that after the CRF alone."""
    recipe = Recipe(data=Data(root="x"), evaluate=Evaluate(crf=True))
    if old:
        stale = {"miou": 0.9, "accuracy": 0.9, "num_images": 3, "commit": "c"}
        write_json(runs.score_file(tmp_path, recipe), stale)
    result = {"miou": 0.4, "accuracy": 0.6, "num_images": 3}
    result["crf"] = {"miou": 0.5, "accuracy": 0.7}
    monkeypatch.setattr(runs, "evaluate", lambda *_, **__: result)
    monkeypatch.setattr(
        runs.RunFolder, "record", lambda self: SimpleNamespace(environment={"git_commit": "c"})
    )
    found = runs.score(tmp_path, recipe)
    assert (found.values["miou"], found.values["miou_crf"]) == (0.4, 0.5)
    assert (found.values["accuracy"], found.values["accuracy_crf"]) == (0.6, 0.7)
    assert read_json(runs.score_file(tmp_path, recipe)) == json.loads(json.dumps(found.plain()))
