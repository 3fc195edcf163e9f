"""The table of a sweep, as its space lays it out."""

import itertools
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raynef.io.files import write_text
from raynef.io.holds import holds
from raynef.report.ablation import (
    AFTER_CRF,
    ELSEWHERE,
    LEAKED,
    Entry,
    Grid,
    PaperValue,
    Score,
    best_of,
    latex,
    long_csv,
    markdown,
)
from raynef.sweeps.methods import CRF, METHODS, METRICS, TRAINED
from raynef.sweeps.sweep import Cell, short_value
from raynef.sweeps.sweep_folder import SweepFolder, open_sweep

logger = logging.getLogger("raynef")

_METRICS = {**METRICS, "objective": "objective (%)", "agreement": "agreement (%)"}
_AXES = {
    "graph.alpha": "α",
    "eigen.beta": "β",
    "eigen.num_eigenfunctions": "K",
    "spectral.color_weight": "λ",
    "spectral.num_eigenvectors": "m",
    "spectral.num_clusters": "K",
}


@holds("path")
def write_tables(path: str | Path) -> dict[str, Any]:
    """Write SWEEP/table.md, .tex and .csv; the result of ``raynef table``.

    Raises:
        UserError: no sweep.
    """
    sweep = open_sweep(path)
    grid = grid_of_sweep(sweep)
    files = {suffix: sweep.path / f"table.{suffix}" for suffix in ("md", "tex", "csv")}
    write_text(files["md"], markdown(grid))
    write_text(files["tex"], latex(grid))
    scores = sweep.scores()
    metrics = sweep.space.metrics if sweep.space.search is None else ("accuracy", "miou")
    papers = {
        metric: [_paper(sweep, score.where, metric) for score in scores] for metric in metrics
    }
    write_text(files["csv"], long_csv(scores, papers))
    logger.info("table: %s", files["md"])
    return {"table": str(files["md"]), "latex": str(files["tex"]), "csv": str(files["csv"])}


def grid_of_sweep(sweep: SweepFolder) -> Grid:
    """The table: rows and columns as the space says, or the trials of a search, best first."""
    return _pivot(sweep) if sweep.space.search is None else _leaderboard(sweep)


def heading(key: str) -> str:
    """A coordinate's name in a table."""
    return _AXES.get(key) or {"miou": "mIoU"}.get(key) or key.rpartition(".")[2].replace("_", " ")


def shown_value(key: str, value: Any) -> str:
    """A coordinate's value in a table."""
    if key == "method":
        return METHODS[value].title
    if key == "metric":
        return _METRICS[value]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in (math.inf, "inf"):  # JSON holds the text
        return "∞"
    return short_value(value)


def _pivot(sweep: SweepFolder) -> Grid:
    space, cells = sweep.space, sweep.record.cells
    rows = list(space.rows)
    if space.columns != "metric" and "metric" not in rows and len(space.metrics) > 1:
        rows.append("metric")
    for key in dict.fromkeys(key for cell in cells for key in cell.where):
        values = {str(cell.where.get(key)) for cell in cells}
        if key not in (*rows, space.columns) and len(values) > 1:
            rows.insert(0, key)  # what tells cells apart must stand somewhere

    found: dict[tuple, dict[Any, list[tuple[Cell, str]]]] = {}
    columns: dict[Any, None] = {}
    for cell, metric in itertools.product(cells, space.metrics):
        where = {**cell.where, "metric": metric}
        places = found.setdefault(tuple(where.get(key) for key in rows), {})
        column = where.get(space.columns)
        columns[column] = None
        places.setdefault(column, []).append((cell, metric))
    table = [
        (row, [_entry(sweep, places.get(column, [])) for column in columns])
        for row, places in found.items()
    ]
    _mark_best(table, by_row=space.columns != "metric", rows=rows)
    return Grid(
        title=space.title,
        corner=tuple(heading(key) for key in rows),
        columns=tuple(name_of(space.columns, column) for column in columns),
        rows=tuple(
            (tuple(shown_value(k, v) for k, v in zip(rows, row, strict=True)), tuple(entries))
            for row, entries in table
        ),
        notes=_notes(sweep, [entry for _, entries in table for entry in entries]),
    )


def _entry(sweep: SweepFolder, cells: Sequence[tuple[Cell, str]]) -> Entry:
    """One place in the table: cells that differ in their seed, with their metric."""
    if not cells:
        return Entry("miou", (), None, None)
    first, metric = cells[0]
    scores = [score for cell, _ in cells if (score := sweep.score(cell)) is not None]
    missing = [reason for cell, _ in cells if (reason := sweep.states[cell.trial].missing)]
    return Entry(
        metric,
        tuple(score for score in scores if metric in score.values),
        missing[0] if missing else None,
        _paper(sweep, first.where, metric),
    )


def _mark_best(
    table: list[tuple[tuple, list[Entry]]], *, by_row: bool, rows: Sequence[str]
) -> None:
    """Along a row where the columns are an axis, else down a column within one data set."""
    groups: dict[Any, list[tuple[int, int]]] = {}
    scored_on = [index for index, key in enumerate(rows) if key in ("data", "target")]
    for i, (row, entries) in enumerate(table):
        place = i if by_row else tuple(row[index] for index in scored_on)
        for j in range(len(entries)):
            groups.setdefault(place if by_row else (place, j), []).append((i, j))
    for places in groups.values():
        best = best_of([table[i][1][j] for i, j in places])
        for i, j in places:
            entry = table[i][1][j]
            if best is not None and entry.mean == best:
                table[i][1][j] = replace(entry, best=True)


def name_of(key: str, value: Any) -> str:
    """A coordinate with its value, such as "K = 256"; the value alone where it says enough."""
    text = shown_value(key, value)
    bare = key in ("metric", "method", "data", "target")
    return text if bare else f"{heading(key)} = {text}"


def _paper(sweep: SweepFolder, where: Mapping[str, Any], metric: str) -> PaperValue | None:
    """The paper's number of a place, of its first data set where this one is none of its own.

    One that was scored after a CRF stands beside ours after the CRF; where there is none, beside
    ours without, marked.
    """
    space = sweep.space
    of_crf, metric = metric.endswith(CRF), metric.removesuffix(CRF)
    if of_crf != space.paper_crf and f"{metric}{CRF}" in space.metrics:
        return None
    own, others = [], []
    for entry in space.values:
        axes = {key: value for key, value in entry.items() if key not in _METRICS}
        places = {key: axes.pop(key) for key in ("data", "target") if key in axes}
        if entry.get(metric) is None or any(where.get(key) != axes[key] for key in axes):
            continue
        same = all(_same_data(sweep, key, where.get(key), name) for key, name in places.items())
        (own if same else others).append(entry[metric])
    if not own and not others:
        return None
    value = (own or others)[0]
    if isinstance(value, list):
        at, axis = where.get(space.columns), space.axis(space.columns)
        value = value[axis.values.index(at)] if at in axis.values else None
        if value is None:
            return None
    method = METHODS[where["method"]]
    return PaperValue(
        float(value),
        leaked=space.paper_leaked and method.kind == "ours" and not method.supervised,
        elsewhere=not own,
        after_crf=space.paper_crf and not of_crf,
    )


def _same_data(sweep: SweepFolder, key: str, name: Any, preset: str) -> bool:
    known = sweep.record.data if key == "data" else sweep.record.targets
    presets = [images.preset for images in known if images.name == name]
    return name == preset or any(p == preset or p.startswith(f"{preset}_") for p in presets)


def _notes(sweep: SweepFolder, entries: Sequence[Entry]) -> tuple[str, ...]:
    papers = [entry.paper for entry in entries if entry.paper is not None]
    leaked = any(score.leaked for entry in entries for score in entry.scores)
    notes = {
        f"In brackets: {sweep.space.paper}.": bool(papers),
        "Bold: the best that saw no label.": any(entry.best for entry in entries),
        f"{LEAKED} Labels reached what was trained.": leaked or any(p.leaked for p in papers),
        f"{ELSEWHERE} On other data than here: the two numbers do not compare.": any(
            paper.elsewhere for paper in papers
        ),
        f"{AFTER_CRF} The paper's number is scored after a CRF, ours is not.": any(
            paper.after_crf for paper in papers
        ),
    }
    return _what_ran(sweep), *(note for note, applies in notes.items() if applies)


def _what_ran(sweep: SweepFolder) -> str:
    """Data, backbone, epochs, seeds, commit, machine and date, from the trials' own records."""
    record = sweep.record
    trials = [state.record for state in sweep.states.values() if state.record is not None]
    images = {(str(s.where.get("target", s.where["data"])), s.num_images) for s in sweep.scores()}
    backbones = sorted({trial.recipe["backbone"]["name"] for trial in trials})
    epochs = sorted({t.recipe["train"]["epochs"] for t in trials if t.kind in TRAINED})
    commits = sorted({trial.commit for trial in trials if trial.commit})
    machine = record.environment["machine"]
    parts = [
        "scored on " + ", ".join(f"{name} ({count} images)" for name, count in sorted(images)),
        ", ".join(backbones),
        f"{', '.join(map(str, epochs))} epochs" if epochs else "",
        f"seeds {', '.join(map(str, record.seeds))}",
        f"commit {', '.join(str(commit)[:7] for commit in commits)}" if commits else "",
        f"{machine['cores']} cores of {machine['processor']}",
        record.environment["started"][:10],
    ]
    several = " Mean ± standard deviation over seeds." if len(record.seeds) > 1 else ""
    return f"{'; '.join(part for part in parts if part)}.{several}"


def _leaderboard(sweep: SweepFolder) -> Grid:
    """The trials of a search, best first; those that were stopped after them."""
    search = sweep.space.search
    assert search is not None
    axes = [axis.key for axis in sweep.space.axes]
    metrics = tuple(dict.fromkeys((search.metric, "miou", "accuracy")))
    rows: list[tuple[float, tuple[str, ...], tuple[Entry, ...]]] = []
    for cell in sweep.record.cells:
        score = sweep.score(cell)
        if score is not None and search.metric not in score.values:
            continue  # a K-means beside the search
        names = tuple(shown_value(key, cell.where.get(key)) for key in axes)
        scores: tuple[Score, ...] = () if score is None else (score,)
        missing = None if score else sweep.states[cell.trial].missing or "not run"
        entries = tuple(Entry(metric, scores, missing, None) for metric in metrics)
        rows.append((-1.0 if score is None else score.values[search.metric], names, entries))
    rows.sort(key=lambda row: -row[0])
    steered = (
        "The LABELS of the validation split steered this search."
        if search.metric == "miou"
        else "No label steered this search; mIoU was measured after it."
    )
    return Grid(
        title=f"{sweep.space.title}, by {heading(search.metric)}",
        corner=tuple(heading(key) for key in axes),
        columns=tuple(_METRICS[metric] for metric in metrics),
        rows=tuple((names, entries) for _, names, entries in rows),
        notes=(_what_ran(sweep), steered),
    )
