"""Gathers what became of a sweep's trials, and writes its report."""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynef.io.files import write_text
from raynef.io.holds import holds
from raynef.report.ablation import Grid
from raynef.report.sweep_page import render_sweep
from raynef.report.sweep_records import Curve, SweepReport, TrialEntry, TrialScore
from raynef.stores.run import RunFolder
from raynef.sweeps.catalog import METHODS, METRICS_OF, SPECTRAL
from raynef.sweeps.sweep_folder import SweepFolder, open_sweep
from raynef.sweeps.sweep_folder import is_sweep as is_sweep
from raynef.sweeps.sweep_images import Shown, sweep_images
from raynef.sweeps.sweep_plots import axis_plots
from raynef.sweeps.table import grid_of_sweep, heading, shown_value

logger = logging.getLogger("raynef")

_FILES = ("trial", "result", "error", "stopped")
_WITHOUT_STEPS = ("kmeans", "probe", *SPECTRAL)
_PAGES = ("report.html", "localize.html", "object.html", "semantic.html")
"""Of a run: the first that is there is what a score leads to."""
_NO_SEGMENTER = (
    "Deep Spectral Methods leave no segmenter: each score above leads to a page of its images."
)


@dataclass(frozen=True)
class _Readable(SweepFolder):
    """A sweep without the files of trials that are damaged; why they are, by name."""

    damaged: Mapping[str, str]

    def trial(self, name: str, file: str) -> dict[str, Any] | None:
        return None if name in self.damaged else super().trial(name, file)

    def missing(self, name: str) -> str | None:
        return "damaged" if name in self.damaged else super().missing(name)


@holds("path")
def write_sweep_report(path: str | Path, *, images: bool = True) -> dict[str, Any]:
    """Write SWEEP/report.html, of a sweep that is finished or not; the result of ``raynef report``.

    Args:
        path: of the sweep.
        images: show some of the data set; without, the page may go where its images may not.

    Raises:
        UserError: no sweep.
    """
    sweep = _readable(open_sweep(path))
    grid = grid_of_sweep(sweep)
    names = _short_names(sweep)
    curves = _curves(sweep, names)
    spectral = all(method in SPECTRAL for method in sweep.space["methods"])
    shown, note = (), _NO_SEGMENTER if spectral else "The images are left out."
    if images and not spectral:
        shown, note = sweep_images(_shown(sweep, names))
    report = SweepReport(
        grid=grid,
        plots=axis_plots(grid, sweep.space),
        curves=tuple(curves.values()),
        num_without_curve=len(_trained(sweep)) - len(curves),
        trains=not spectral,
        images=shown,
        gallery_note=note,
        trials=tuple(_entry(sweep, trial["name"], names) for trial in sweep.record["trials"]),
        links=_links(sweep, grid),
    )
    file = sweep.path / "report.html"
    write_text(file, render_sweep(report))
    logger.info("report: %s", file)
    return {"report": str(file)}


def _readable(sweep: SweepFolder) -> _Readable:
    damaged = {}
    for trial in sweep.record["trials"]:
        name = trial["name"]
        try:
            _check(sweep, name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            damaged[name] = f"{type(error).__name__}: {error}"
            logger.warning("%s is damaged: %s", name, damaged[name])
    return _Readable(sweep.path, sweep.record, damaged)


def _check(sweep: SweepFolder, name: str) -> None:
    """Read all that the table and the report read of a trial; raises what is wrong with it."""
    files = {file: sweep.trial(name, file) for file in _FILES}
    sweep.missing(name)
    if files["trial"] is not None:
        recipe = files["trial"]["recipe"]
        _require(files["trial"], "kind", "seed")
        _require(recipe["backbone"], "name")
        _require(recipe["train"], "epochs", "leak_labels")
    for score in files["result"]["scores"] if files["result"] is not None else ():
        _require(score, "method", "score", "run", "evaluate", "num_images")
        _require(score["data"], "name", "root", "val_split")
        for metric in METRICS_OF[score["method"]]:
            float(score[metric])


def _require(values: Mapping[str, Any], *keys: str) -> None:
    missing = [key for key in keys if key not in values]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")


def _short_names(sweep: SweepFolder) -> dict[str, str]:
    """What tells each trial apart: the words of its description that not all trials share."""
    abouts = {trial["name"]: trial["about"].split() for trial in sweep.record["trials"]}
    shared = set.intersection(*map(set, abouts.values())) if abouts else set()
    return {
        name: " ".join(word for word in words if word not in shared) or " ".join(words)
        for name, words in abouts.items()
    }


def _trained(sweep: SweepFolder) -> list[str]:
    """Trials that have steps once they are trained."""
    trained = {c["trial"] for c in sweep.record["cells"] if c["method"] not in _WITHOUT_STEPS}
    return [trial["name"] for trial in sweep.record["trials"] if trial["name"] in trained]


def _curves(sweep: SweepFolder, names: Mapping[str, str]) -> dict[str, Curve]:
    curves = {}
    for name in _trained(sweep):
        file = RunFolder(sweep.path / "trials" / name / "run").steps_file
        steps = _steps(file) if file.is_file() else ()
        if steps:
            curves[name] = Curve(names[name], steps)
    return curves


def _steps(file: Path) -> tuple[dict[str, Any], ...]:
    """The lines that are whole; a trial that was stopped may have left half of one."""
    steps = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            step = json.loads(line)
        except ValueError:
            logger.warning("%s: a line that is no JSON is left out", file)
            continue
        if isinstance(step, dict):
            steps.append(step)
    return tuple(steps)


def _shown(sweep: SweepFolder, names: Mapping[str, str]) -> list[Shown]:
    """Trials of method ours that have scores, of the sweep's first seed."""
    shown = []
    for name, short in names.items():
        trial, result = sweep.trial(name, "trial"), sweep.trial(name, "result")
        if trial and result and trial["seed"] == sweep.record["seeds"][0]:
            scores = [score for score in result["scores"] if score["method"] == "ours"]
            if scores:
                run = sweep.path / "trials" / name / scores[0]["run"]
                shown.append(Shown(short, run, scores[0]))
    return shown


def _entry(sweep: _Readable, name: str, names: Mapping[str, str]) -> TrialEntry:
    result, error = sweep.trial(name, "result"), sweep.trial(name, "error")
    state = "done" if result else sweep.missing(name)
    if state is None:
        state = "not finished" if sweep.trial(name, "trial") else "not run"
    scores: dict[tuple[str, str], TrialScore] = {}
    for cell in sweep.record["cells"]:
        score = sweep.score(cell) if cell["trial"] == name else None
        if score is not None:
            scores.setdefault(
                (cell["method"], cell["score"]),
                TrialScore(_score_name(cell), score.values, score.run, score.leaked),
            )
    reason = sweep.damaged.get(name) or (str(error.get("error")) if error and not result else None)
    seconds = result.get("seconds") if result else None
    return TrialEntry(name, names[name], state, tuple(scores.values()), seconds, reason)


def _score_name(cell: Mapping[str, Any]) -> str:
    """A score of a trial: its method, and where and how it was scored if that can differ."""
    where = cell["where"]
    protocol = [
        f"{heading(key)} = {shown_value(key, value)}"
        for key, value in where.items()
        if key.startswith("evaluate.")
    ]
    target = [str(where["target"])] if "target" in where else []
    return ", ".join([METHODS[cell["method"]], *target, *protocol])


def _links(sweep: SweepFolder, grid: Grid) -> dict[str, str]:
    """The reports of the runs that have one."""
    runs = {s.run for _, entries in grid.rows for entry in entries for s in entry.scores}
    pages = {run: [os.path.join(run, name) for name in _PAGES] for run in sorted(runs)}
    there = {run: [p for p in found if (sweep.path / p).is_file()] for run, found in pages.items()}
    return {run: found[0] for run, found in there.items() if found}
