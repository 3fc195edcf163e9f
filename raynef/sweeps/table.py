"""The table of a sweep, as its space lays it out."""

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
from raynef.sweeps.catalog import CRF, METHODS
from raynef.sweeps.sweep_folder import SweepFolder, open_sweep

logger = logging.getLogger("raynef")

_METRICS = {
    "accuracy": "Acc. (%)",
    f"accuracy{CRF}": "Acc., CRF (%)",
    "miou": "mIoU (%)",
    f"miou{CRF}": "mIoU, CRF (%)",
    "miou_majority": "mIoU, majority (%)",
    "corloc": "CorLoc (%)",
    "objective": "objective (%)",
}
_AXES = {
    "graph.alpha": "α",
    "eigen.beta": "β",
    "eigen.num_eigenfunctions": "K",
    "spectral.color_weight": "λ",
    "spectral.num_eigenvectors": "m",
    "spectral.num_clusters": "K",
}
_OURS = ("ours", "ours_star")


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
    scores = [score for cell in sweep.record["cells"] if (score := sweep.score(cell)) is not None]
    metrics = sweep.space["metrics"] if sweep.space["search"] is None else ["accuracy", "miou"]
    papers = {
        metric: [_paper(sweep, score.where, metric) for score in scores] for metric in metrics
    }
    write_text(files["csv"], long_csv(scores, papers))
    logger.info("table: %s", files["md"])
    return {"table": str(files["md"]), "latex": str(files["tex"]), "csv": str(files["csv"])}


def grid_of_sweep(sweep: SweepFolder) -> Grid:
    """The table: rows and columns as the space says, or the trials of a search, best first."""
    return _leaderboard(sweep) if sweep.space["search"] is not None else _pivot(sweep)


def heading(key: str) -> str:
    """A coordinate's name in a table."""
    return _AXES.get(key) or {"miou": "mIoU"}.get(key) or key.rpartition(".")[2].replace("_", " ")


def shown_value(key: str, value: Any) -> str:
    """A coordinate's value in a table."""
    if key == "method":
        return METHODS[value]
    if key == "metric":
        return _METRICS[value]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value in (math.inf, "inf"):  # JSON holds the text
        return "∞"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).rpartition("/")[2].removesuffix(".yaml")


def _pivot(sweep: SweepFolder) -> Grid:
    space, cells = sweep.space, sweep.record["cells"]
    rows = list(space["rows"])
    if space["columns"] != "metric" and "metric" not in rows and len(space["metrics"]) > 1:
        rows.append("metric")
    varying = dict.fromkeys(key for cell in cells for key in cell["where"])
    for key in varying:  # what tells cells apart must stand somewhere
        values = {str(cell["where"].get(key)) for cell in cells}
        if key not in (*rows, space["columns"]) and len(values) > 1:
            rows.insert(0, key)

    found: dict[tuple, dict[Any, list[Mapping[str, Any]]]] = {}
    columns: dict[Any, None] = {}
    for cell in cells:
        for metric in space["metrics"]:
            where = {**cell["where"], "metric": metric}
            row = tuple(where.get(key) for key in rows)
            column = where.get(space["columns"])
            columns[column] = None
            found.setdefault(row, {}).setdefault(column, []).append({**cell, "metric": metric})
    table: list[tuple[tuple, list[Entry]]] = []
    for row, by_column in found.items():
        entries = [_entry(sweep, by_column.get(column, [])) for column in columns]
        table.append((row, entries))
    _mark_best(table, by_row=space["columns"] != "metric", rows=rows)
    names = tuple(_column_name(space["columns"], column) for column in columns)
    return Grid(
        title=space["title"],
        corner=tuple(heading(key) for key in rows),
        columns=names,
        rows=tuple(
            (tuple(shown_value(k, v) for k, v in zip(rows, row, strict=True)), tuple(entries))
            for row, entries in table
        ),
        notes=_notes(sweep, [entry for _, entries in table for entry in entries]),
    )


def _entry(sweep: SweepFolder, cells: Sequence[Mapping[str, Any]]) -> Entry:
    """The cells of one place in the table, which differ in their seed."""
    if not cells:
        return Entry("miou", (), None, None)
    metric = cells[0]["metric"]
    found = [score for cell in cells if (score := sweep.score(cell)) is not None]
    scores = [score for score in found if metric in score.values]
    reasons = [reason for cell in cells if (reason := sweep.missing(cell["trial"]))]
    return Entry(
        metric,
        tuple(scores),
        reasons[0] if reasons else None,
        _paper(sweep, cells[0]["where"], metric),
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


def _column_name(key: str, value: Any) -> str:
    text = shown_value(key, value)
    return text if key in ("metric", "method", "data", "target") else f"{heading(key)} = {text}"


def _paper(sweep: SweepFolder, where: Mapping[str, Any], metric: str) -> PaperValue | None:
    """The paper's number of a place, of its first data set where this one is none of its own.

    One that was scored after a CRF stands beside ours after the CRF; where there is none, beside
    ours without, marked.
    """
    space = sweep.space
    of_crf, metric = metric.endswith(CRF), metric.removesuffix(CRF)
    paper_crf = space.get("paper_crf", False)
    if of_crf != paper_crf and f"{metric}{CRF}" in space["metrics"]:
        return None
    own, others = [], []
    for entry in space["values"]:
        axes = {key: value for key, value in entry.items() if key not in _METRICS}
        places = [key for key in ("data", "target") if key in axes]
        rest = {key: value for key, value in axes.items() if key not in places}
        if entry.get(metric) is None or any(where.get(k) != v for k, v in rest.items()):
            continue
        same = all(_same_data(sweep, key, where.get(key), axes[key]) for key in places)
        (own if same else others).append(entry)
    if not own and not others:
        return None
    value = (own or others)[0][metric]
    if isinstance(value, list):
        axis = next(axis for axis in space["axes"] if axis["key"] == space["columns"])
        at = where.get(space["columns"])
        if at not in axis["values"]:
            return None
        value = value[axis["values"].index(at)]
        if value is None:
            return None
    leaked = space["paper_leaked"] and where["method"] in _OURS
    return PaperValue(
        float(value), leaked=leaked, elsewhere=not own, after_crf=paper_crf and not of_crf
    )


def _same_data(sweep: SweepFolder, key: str, name: Any, preset: str) -> bool:
    known = sweep.record["data" if key == "data" else "targets"]
    presets = {entry["preset"] for entry in known if entry["name"] == name}
    return name == preset or any(p == preset or p.startswith(f"{preset}_") for p in presets)


def _notes(sweep: SweepFolder, entries: Sequence[Entry]) -> tuple[str, ...]:
    space = sweep.space
    notes = [_what_ran(sweep)]
    papers = [entry.paper for entry in entries if entry.paper is not None]
    if papers:
        notes.append(f"In brackets: {space['paper']}.")
    if any(entry.best for entry in entries):
        notes.append("Bold: the best that saw no label.")
    leaked = any(score.leaked for entry in entries for score in entry.scores)
    if leaked or any(paper.leaked for paper in papers):
        notes.append(f"{LEAKED} Labels reached what was trained.")
    if any(paper.elsewhere for paper in papers):
        notes.append(f"{ELSEWHERE} On other data than here: the two numbers do not compare.")
    if any(paper.after_crf for paper in papers):
        notes.append(f"{AFTER_CRF} The paper's number is scored after a CRF, ours is not.")
    return tuple(notes)


def _what_ran(sweep: SweepFolder) -> str:
    """Data, backbone, epochs, seeds, commit, machine and date, from the trials' own records."""
    scores = [score for cell in sweep.record["cells"] if (score := sweep.score(cell)) is not None]
    trials = [trial for t in sweep.record["trials"] if (trial := sweep.trial(t["name"], "trial"))]
    images = sorted({(str(s.where.get("target", s.where["data"])), s.num_images) for s in scores})
    backbones = sorted({trial["recipe"]["backbone"]["name"] for trial in trials})
    epochs = sorted(
        {t["recipe"]["train"]["epochs"] for t in trials if t["kind"] in ("ours", "leaked")}
    )
    made = sweep.record["environment"]
    commits = sorted({commit for trial in trials if (commit := trial.get("commit"))})
    parts = [
        "scored on " + ", ".join(f"{name} ({count} images)" for name, count in images),
        ", ".join(backbones),
        f"{', '.join(map(str, epochs))} epochs" if epochs else "",
        f"seeds {', '.join(map(str, sweep.record['seeds']))}",
        f"commit {', '.join(str(commit)[:7] for commit in commits)}" if commits else "",
        f"{made['machine']['cores']} cores of {made['machine']['processor']}",
        made["started"][:10],
    ]
    several = " Mean ± standard deviation over seeds." if len(sweep.record["seeds"]) > 1 else ""
    return f"{'; '.join(part for part in parts if part)}.{several}"


def _leaderboard(sweep: SweepFolder) -> Grid:
    """The trials of a search, best first; those that were stopped after them."""
    search = sweep.space["search"]
    axes = [axis["key"] for axis in sweep.space["axes"]]
    metrics = list(dict.fromkeys((search["metric"], "miou", "accuracy")))
    rows: list[tuple[float, tuple[str, ...], tuple[Entry, ...]]] = []
    for cell in sweep.record["cells"]:
        score = sweep.score(cell)
        if score is not None and "objective" in metrics and "objective" not in score.values:
            continue  # a K-means beside the search
        names = tuple(shown_value(key, cell["where"].get(key)) for key in axes)
        scores: tuple[Score, ...] = () if score is None else (score,)
        missing = None if score else sweep.missing(cell["trial"]) or "not run"
        entries = tuple(Entry(metric, scores, missing, None) for metric in metrics)
        rows.append((-1.0 if score is None else score.values[search["metric"]], names, entries))
    rows.sort(key=lambda row: -row[0])
    steered = (
        "The LABELS of the validation split steered this search."
        if search["metric"] == "miou"
        else "No label steered this search; mIoU was measured after it."
    )
    return Grid(
        title=f"{sweep.space['title']}, by {heading(search['metric'])}",
        corner=tuple(heading(key) for key in axes),
        columns=tuple(_METRICS[metric] for metric in metrics),
        rows=tuple((names, entries) for _, names, entries in rows),
        notes=(_what_ran(sweep), steered),
    )
