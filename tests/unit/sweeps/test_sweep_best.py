"""Which trial of a sweep is the best, by what, and what the drawing of all scores holds."""

import dataclasses
import json
from pathlib import Path

import pytest

from raynef.config.recipe import Data, Recipe, to_dict
from raynef.io.files import read_json, write_json
from raynef.sweeps.sweep_best import best_points, coordinates
from raynef.sweeps.sweep_folder import open_sweep
from raynef.sweeps.sweep_report import write_sweep_report
from tests.known import present

AXES = [
    {"key": "eigen.beta", "word": "grid", "values": [0.04, 0.08]},
    {"key": "train.lr", "word": "grid", "values": [0.001, 0.01]},
]
SPACE = {
    "title": "Two axes",
    "axes": AXES,
    "methods": ["ours"],
    "metrics": ["accuracy", "miou"],
    "rows": ["eigen.beta"],
    "columns": "train.lr",
    "search": None,
}
MIOU = {(0.04, 0.001): 0.2, (0.04, 0.01): 0.3, (0.08, 0.001): 0.5, (0.08, 0.01): 0.4}
OBJECTIVE = {(0.04, 0.001): 0.6, (0.04, 0.01): 0.9, (0.08, 0.001): 0.7, (0.08, 0.01): 0.8}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Four points, two seeds each, of which the second is a little better."""
    recipe = to_dict(Recipe(data=Data(root=str(tmp_path / "gone"))))
    trials, cells = [], []
    for (beta, lr), miou in MIOU.items():
        for seed in (0, 1):
            name = f"{beta}-{lr}-{seed}"
            point = {"eigen.beta": beta, "train.lr": lr}
            trials.append({"name": name, "about": f"scn ours {name}", "point": point})
            where = {"data": "scn", "method": "ours", **point}
            cells.append(
                {"where": where, "seed": seed, "trial": name, "method": "ours", "score": "k"}
            )
            folder = tmp_path / "trials" / name
            write_json(folder / "trial.json", {"kind": "ours", "seed": seed, "recipe": recipe})
            score = {"method": "ours", "score": "k", "run": "run", "num_images": 3}
            values = {"miou": miou + seed / 100, "accuracy": 0.9 - miou}
            result = {"scores": [{**score, **values}], "objective": OBJECTIVE[beta, lr]}
            write_json(folder / "result.json", result)
    environment = {"machine": {"cores": 2, "processor": "x"}, "started": "2026-01-01"}
    record = {"space": SPACE, "cells": cells, "trials": trials, "environment": environment}
    write_json(tmp_path / "sweep.json", {**record, "data": [], "targets": [], "seeds": [0, 1]})
    return tmp_path


def with_space(sweep: Path, **changes) -> Path:
    record = json.loads((sweep / "sweep.json").read_text())
    write_json(sweep / "sweep.json", {**record, "space": {**SPACE, **changes}})
    return sweep


def test_a_grid_is_compared_by_miou_over_seeds(sweep: Path) -> None:
    (best,) = best_points(open_sweep(sweep))
    assert (best.data, best.metric, best.label_free) == ("scn", "mIoU (%)", False)
    assert best.about == "β = 0.08, lr = 0.001"
    assert best.values == (0.5, 0.51)
    assert best.trials == ("0.08-0.001-0", "0.08-0.001-1")


def test_a_search_is_compared_by_what_steered_it(sweep: Path) -> None:
    searched = with_space(sweep, search={"metric": "objective"})
    (best,) = best_points(open_sweep(searched))
    assert (best.metric, best.label_free) == ("objective (%)", True)
    assert best.about == "β = 0.04, lr = 0.01"


def test_the_objective_compares_where_nothing_was_scored_and_no_axis_forbids_it(
    sweep: Path,
) -> None:
    for file in sweep.glob("trials/*/result.json"):
        result = read_json(file)
        for score in result["scores"]:
            del score["miou"], score["accuracy"]
        write_json(file, result)
    (best,) = best_points(open_sweep(sweep))
    assert best.label_free
    axes = [{**AXES[0], "key": "graph.alpha"}, AXES[1]]
    assert best_points(open_sweep(with_space(sweep, axes=axes))) == ()


def test_what_saw_labels_is_never_the_best(sweep: Path) -> None:
    for file in sweep.glob("trials/0.08-*/trial.json"):
        trial = read_json(file)
        trial["recipe"]["train"]["leak_labels"] = True
        write_json(file, trial)
    (best,) = best_points(open_sweep(sweep))
    assert best.about == "β = 0.04, lr = 0.01"


def test_all_scores_are_drawn_over_what_varies(sweep: Path) -> None:
    drawn = present(coordinates(open_sweep(sweep)))
    assert [rail.name for rail in drawn.rails] == ["β", "lr", "seed", "mIoU (%)"]
    assert len(drawn.strands) == 8
    assert [strand.is_best for strand in drawn.strands] == [False] * 6 + [True] * 2
    assert "seed 1\nmIoU (%) 51.0" in drawn.strands[-1].title


def test_one_axis_alone_is_not_drawn_so(sweep: Path) -> None:
    folder = open_sweep(sweep)
    cells = [c for c in folder.record.cells if c.seed == 0 and c.where["train.lr"] == 0.01]
    record = dataclasses.replace(folder.record, cells=cells)
    assert coordinates(dataclasses.replace(folder, record=record)) is None


def test_the_page_begins_with_the_best(sweep: Path) -> None:
    page = Path(write_sweep_report(sweep)["report"]).read_text(encoding="utf-8")
    assert page.index("β = 0.08, lr = 0.001</a>") < page.index('id="table"')
    rows = page[page.index('id="trials"') :]
    assert rows.index("<small>0.08-0.001-0") < rows.index("<small>0.04-0.001-0")
    assert rows.count("★ best") == 2
