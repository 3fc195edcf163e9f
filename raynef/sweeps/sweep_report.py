"""Gathers what became of a sweep's trials, and writes its report."""

import json
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from raynef.io.files import write_text
from raynef.io.holds import holds
from raynef.report.ablation import Grid
from raynef.report.sweep_page import render_sweep
from raynef.report.sweep_records import Curve, SweepReport, TrialEntry, TrialScore
from raynef.stores.run import RunFolder, report_name
from raynef.sweeps.methods import METHODS
from raynef.sweeps.state import folder_of
from raynef.sweeps.sweep import Cell
from raynef.sweeps.sweep_best import best_points, coordinates
from raynef.sweeps.sweep_folder import SweepFolder, open_sweep
from raynef.sweeps.sweep_folder import is_sweep as is_sweep
from raynef.sweeps.sweep_images import Shown, sweep_images
from raynef.sweeps.sweep_plots import axis_plots
from raynef.sweeps.table import grid_of_sweep, name_of

logger = logging.getLogger("raynef")

_PAGES = tuple(dict.fromkeys(f"{method.page}.html" for method in METHODS.values()))
"""Of a run: the first that is there is what a score leads to."""
_NO_SEGMENTER = (
    "Deep Spectral Methods leave no segmenter: each score above leads to a page of its images."
)


@holds("path")
def write_sweep_report(path: str | Path, *, images: bool = True) -> dict[str, Any]:
    """Write the page of a sweep, finished or not; the result of ``raynef report``.

    Args:
        path: of the sweep.
        images: show some of the data set, in SWEEP/report.html; without, in
            SWEEP/report-no-images.html, which may go where the images may not.

    Raises:
        UserError: no sweep.
    """
    sweep = open_sweep(path, tolerant=True)
    for name, state in sweep.states.items():
        if state.state == "damaged":
            logger.warning("%s is damaged: %s", name, state.error)
    grid = grid_of_sweep(sweep)
    bests = best_points(sweep)
    names = _short_names(sweep, first={trial for best in bests for trial in best.trials})
    curves = _curves(sweep, names)
    spectral = sweep.space.is_spectral
    shown, note = (), _NO_SEGMENTER if spectral else "The images are left out."
    if images and not spectral:
        shown, note = sweep_images(_shown(sweep, names))
    report = SweepReport(
        grid=grid,
        bests=bests,
        coordinates=coordinates(sweep),
        plots=axis_plots(grid, sweep.space),
        curves=tuple(curves.values()),
        num_without_curve=len(_trained(sweep, names)) - len(curves),
        trains=not spectral,
        images=shown,
        gallery_note=note,
        trials=tuple(_entry(sweep, name, about) for name, about in names.items()),
        links=_links(sweep, grid),
    )
    file = sweep.path / report_name(images=images)
    write_text(file, render_sweep(report))
    logger.info("report: %s", file)
    return {"report": str(file)}


def _short_names(sweep: SweepFolder, first: Collection[str]) -> dict[str, str]:
    """What tells each trial apart: the words of its description that not all trials share.

    Some trials come ``first``, which all that is shown of trials keeps to.
    """
    trials = sorted(sweep.record.trials, key=lambda trial: trial.name not in first)
    abouts = {trial.name: trial.about.split() for trial in trials}
    shared = set.intersection(*map(set, abouts.values())) if abouts else set()
    return {
        name: " ".join(word for word in words if word not in shared) or " ".join(words)
        for name, words in abouts.items()
    }


def _trained(sweep: SweepFolder, names: Iterable[str]) -> list[str]:
    """Trials that have steps once they are trained."""
    trained = {cell.trial for cell in sweep.record.cells if METHODS[cell.method].trains}
    return [name for name in names if name in trained]


def _curves(sweep: SweepFolder, names: Mapping[str, str]) -> dict[str, Curve]:
    curves = {}
    for name in _trained(sweep, names):
        file = RunFolder(folder_of(sweep.path, name) / "run").steps_file
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
        state = sweep.states[name]
        first = state.record is not None and state.record.seed == sweep.record.seeds[0]
        scores = state.result.scores if first and state.result is not None else ()
        ours = [score for score in scores if score.method == "ours" and score.data]
        if ours:
            shown.append(Shown(short, folder_of(sweep.path, name) / ours[0].run, ours[0]))
    return shown


def _entry(sweep: SweepFolder, name: str, about: str) -> TrialEntry:
    state = sweep.states[name]
    scores: dict[tuple[str, str], TrialScore] = {}
    for cell in sweep.record.cells:
        score = sweep.score(cell) if cell.trial == name else None
        if score is not None:
            found = TrialScore(_score_name(cell), score.values, score.run, score.leaked)
            scores.setdefault((cell.method, cell.score), found)
    seconds = state.result.seconds if state.result else None
    error = None if state.state == "done" else state.error
    return TrialEntry(name, about, state.words, tuple(scores.values()), seconds, error)


def _score_name(cell: Cell) -> str:
    """A score of a trial: its method, and where and how it was scored if that can differ."""
    protocol = [
        name_of(key, value) for key, value in cell.where.items() if key.startswith("evaluate.")
    ]
    target = [str(cell.where["target"])] if "target" in cell.where else []
    return ", ".join([METHODS[cell.method].title, *target, *protocol])


def _links(sweep: SweepFolder, grid: Grid) -> dict[str, str]:
    """The reports of the runs that have one."""
    runs = {s.run for _, entries in grid.rows for entry in entries for s in entry.scores}
    pages = {run: [os.path.join(run, name) for name in _PAGES] for run in sorted(runs)}
    there = {run: [p for p in found if (sweep.path / p).is_file()] for run, found in pages.items()}
    return {run: found[0] for run, found in there.items() if found}
