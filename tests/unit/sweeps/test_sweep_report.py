"""The report of a sweep is written of what there is: unfinished, failed and damaged trials too."""

import json
from pathlib import Path
from typing import Any

import pytest

from raynef.config.recipe import Data, Recipe, to_dict
from raynef.core.errors import UserError
from raynef.io.files import write_json
from raynef.report.ablation import Entry, Grid, PaperValue, Score
from raynef.sweeps.space import Space
from raynef.sweeps.sweep_plots import axis_plots
from raynef.sweeps.sweep_report import is_sweep, write_sweep_report

ALPHAS = (0, 0.1, 0.3, 0.5)
SPACE = {
    "title": "The weight α",
    "paper": "Table 6",
    "paper_leaked": True,
    "axes": [{"key": "graph.alpha", "word": "grid", "values": list(ALPHAS)}],
    "methods": ["ours"],
    "metrics": ["miou"],
    "rows": ["data"],
    "columns": "graph.alpha",
    "values": [],
    "search": None,
}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Four trials that are done, but for their segmenters, on images that are gone."""
    recipe = to_dict(Recipe(data=Data(root=str(tmp_path / "gone"))))
    trials, cells = [], []
    for alpha in ALPHAS:
        name = f"alpha={alpha}"
        where = {"data": "scn", "method": "ours", "graph.alpha": alpha}
        trials.append({"name": name, "about": f"scn ours {name}", "point": {"graph.alpha": alpha}})
        cells.append({"where": where, "seed": 0, "trial": name, "method": "ours", "score": "k"})
        folder = tmp_path / "trials" / name
        write_json(folder / "trial.json", {"kind": "ours", "seed": 0, "recipe": recipe})
        score = {"method": "ours", "score": "k", "run": "run", "num_images": 3}
        values = {"miou": 0.2 + alpha / 10, "accuracy": 0.5}
        parts = {"data": recipe["data"], "evaluate": recipe["evaluate"]}
        write_json(folder / "result.json", {"scores": [{**score, **values, **parts}]})
        (folder / "run").mkdir()
        (folder / "run" / "steps.jsonl").write_text('{"step": 0, "loss": -1.0}\n{"step": 1, "lo')
    environment = {"machine": {"cores": 2, "processor": "x"}, "started": "2026-01-01"}
    record = {"space": SPACE, "cells": cells, "trials": trials, "environment": environment}
    write_json(tmp_path / "sweep.json", {**record, "data": [], "targets": [], "seeds": [0]})
    return tmp_path


def page_of(sweep: Path) -> str:
    return Path(write_sweep_report(sweep)["report"]).read_text(encoding="utf-8")


def test_a_sweep_without_its_images_has_a_note(sweep: Path) -> None:
    page = page_of(sweep)
    assert "The validation images cannot be read" in page
    assert page.count('href="trials/alpha=0.3/run/"') == 2  # in the table and in the list
    assert "last −1" in page


def test_images_may_be_left_out(sweep: Path) -> None:
    page = Path(write_sweep_report(sweep, images=False)["report"]).read_text(encoding="utf-8")
    assert "The images are left out." in page
    assert "cannot be read" not in page
    assert "data:image" not in page


def test_a_run_that_has_a_report_is_linked_to_it(sweep: Path) -> None:
    (sweep / "trials/alpha=0.3/run/report.html").write_text("x")
    assert 'href="trials/alpha=0.3/run/report.html"' in page_of(sweep)


@pytest.mark.parametrize(
    "damage",
    [
        '{"scores": [{"mi',
        "[]",
        '{"scores": [{"method": "ours"}]}',
        '{"scores": [{"method": "ours", "score": "k", "miou": null}]}',
    ],
)
def test_a_damaged_trial_hides_no_other(sweep: Path, damage: str) -> None:
    (sweep / "trials/alpha=0.1/result.json").write_text(damage)
    page = page_of(sweep)
    assert "23.0" in page
    assert "1 of 4 trials failed or are damaged: alpha=0.1" in page


def test_trials_of_every_state_are_told_apart(sweep: Path) -> None:
    for alpha in ALPHAS[1:]:
        (sweep / f"trials/alpha={alpha}/result.json").unlink()
    write_json(sweep / "trials/alpha=0.1/error.json", {"error": "NonFiniteLossError <b>"})
    write_json(sweep / "trials/alpha=0.3/stopped.json", {"epoch": 4})
    page = page_of(sweep)
    assert "NonFiniteLossError &lt;b&gt;" in page
    for state in ("1 of 4 trials failed: alpha=0.1", "stopped at epoch 4", "not finished"):
        assert state in page


def test_a_sweep_that_has_not_begun(sweep: Path) -> None:
    record = json.loads((sweep / "sweep.json").read_text())
    write_json(sweep / "sweep.json", {**record, "cells": [], "trials": []})
    assert "There are no trials yet" in page_of(sweep)


def test_what_is_no_sweep_is_refused(tmp_path: Path) -> None:
    assert not is_sweep(tmp_path)
    with pytest.raises(UserError, match="no sweep"):
        write_sweep_report(tmp_path)


def entry(miou: float, paper: PaperValue | None = None, /, **where: Any) -> Entry:
    score = Score({"data": "scn", **where}, 0, {"miou": miou}, 3, "run", leaked=False)
    return Entry("miou", (score,), None, paper)


def grid(*entries: Entry) -> Grid:
    return Grid("", ("data",), ("x",) * len(entries), ((("scn",), entries),), ())


def test_lines_are_named_by_what_tells_them_apart() -> None:
    paper = PaperValue(38.8, leaked=True, elsewhere=True)
    values = [
        entry(0.2 + i / 10, paper, method=method, **{"graph.alpha": alpha})
        for method in ("ours", "ours_star")
        for i, alpha in enumerate((0, 0.5))
    ]
    (plot,) = axis_plots(grid(*values), Space.read(SPACE))
    assert [line.name for line in plot.lines] == ["Ours", "Ours*"]
    assert [point.at for point in plot.lines[1].points] == [0, 0.5]
    assert plot.lines[1].points[1].values == pytest.approx((0.3,))
    assert plot.lines[0].paper is not None
    assert plot.lines[0].paper.name == "paper (other data) †"
    assert plot.lines[0].paper.points[1].values == pytest.approx((0.388,))
    assert (plot.ticks, plot.log, plot.joined) == (ALPHAS, False, True)


def test_an_axis_of_words_or_of_one_value_has_no_plot() -> None:
    same = [entry(0.2, method="ours", **{"graph.alpha": 0.1}) for _ in range(2)]
    assert axis_plots(grid(*same), Space.read(SPACE)) == ()
    words = {**SPACE, "axes": [{"key": "backbone", "word": "grid", "values": ["a", "b"]}]}
    named = [entry(0.2, method="ours", backbone=name) for name in "ab"]
    assert axis_plots(grid(*named), Space.read(words)) == ()


def test_a_search_has_one_line_of_dots_for_all_its_axes() -> None:
    axes = [
        {"key": "graph.alpha", "word": "uniform", "values": [0, 1]},
        {"key": "eigen.beta", "word": "loguniform", "values": [0.02, 0.64]},
    ]
    values = [
        entry(0.2, method="ours", **{"graph.alpha": a, "eigen.beta": b})
        for a, b in ((0.1, 0.3), (0.2, 0.1), (0.9, 0.05))
    ]
    searched = Space.read({**SPACE, "axes": axes, "search": {"metric": "miou"}})
    plots = axis_plots(grid(*values), searched)
    assert [(plot.axis, plot.log, plot.joined) for plot in plots] == [
        ("α", False, False),
        ("β", True, False),
    ]
    assert [len(line.points) for line in plots[0].lines] == [3]
