"""What a sweep's table shows along an axis of numbers, as lines with the paper's beside."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from raynef.report.ablation import LEAKED, Entry, Grid, is_leaked
from raynef.report.sweep_records import AxisLine, AxisPlot, AxisPoint
from raynef.report.words import plain_number
from raynef.sweeps.methods import with_crf
from raynef.sweeps.space import Space
from raynef.sweeps.table import heading, name_of, shown_value

_METRICS = ("objective", "corloc", *with_crf(("miou", "miou_majority", "accuracy")))


def axis_plots(grid: Grid, space: Space) -> tuple[AxisPlot, ...]:
    """A plot for each axis with at least two finite numbers and each metric of the table.

    Args:
        grid: the table; its scores tell their places.
        space: that was swept.
    """
    scored = [entry for _, entries in grid.rows for entry in entries if entry.scores]
    plots = []
    for axis in space.axes:
        key = axis.key
        known = [entry for entry in scored if _has_place(_at(entry, key))]
        if len({_at(entry, key) for entry in known}) < 2:
            continue
        for metric in _METRICS:
            lines = _lines([entry for entry in known if entry.metric == metric], key, space)
            if lines:
                ticks = tuple(filter(_has_place, axis.values)) if axis.is_listed else ()
                plots.append(
                    AxisPlot(
                        axis=heading(key),
                        metric=shown_value("metric", metric),
                        lines=lines,
                        ticks=ticks,
                        log=is_log(ticks) if ticks else "log" in axis.distribution,
                        joined=space.search is None,
                    )
                )
    return tuple(plots)


def _has_place(value: Any) -> bool:
    """Whether a value is a number that an axis can show."""
    number = plain_number(value)
    return number is not None and math.isfinite(number)


def _at(entry: Entry, key: str) -> Any:
    return entry.scores[0].where.get(key)


def _lines(entries: Sequence[Entry], key: str, space: Space) -> tuple[AxisLine, ...]:
    """One line for each place in the table without this axis; of a search, without all axes."""
    axes = {axis.key for axis in space.axes}
    left_out = {key} if space.search is None else axes
    by_place: dict[tuple, list[Entry]] = {}
    for entry in entries:
        where = entry.scores[0].where
        place = tuple((k, v) for k, v in where.items() if k not in left_out)
        by_place.setdefault(place, []).append(entry)
    constant = set.intersection(*map(set, by_place)) if len(by_place) > 1 else set()
    lines = []
    for place, found in by_place.items():
        parts = [name_of(k, v) for k, v in place if (k, v) not in constant]
        if len(by_place) == 1:  # nothing tells it apart: whose it is
            parts = [name_of(k, v) for k, v in place if k == "method"]
        leaked = f" {LEAKED}" if any(is_leaked(entry) for entry in found) else ""
        points = tuple(
            AxisPoint(float(_at(e, key)), tuple(score.values[e.metric] for score in e.scores))
            for e in found
        )
        lines.append(AxisLine(", ".join(parts) + leaked, points, _paper(found, key)))
    return tuple(lines)


def _paper(entries: Sequence[Entry], key: str) -> AxisLine | None:
    """The paper's line beside one of ours."""
    papers = [(_at(entry, key), entry.paper) for entry in entries if entry.paper is not None]
    if not papers:
        return None
    leaked = f" {LEAKED}" if any(paper.leaked for _, paper in papers) else ""
    other = " (other data)" if any(paper.elsewhere for _, paper in papers) else ""
    points = tuple(AxisPoint(float(at), (paper.value / 100,)) for at, paper in papers)
    return AxisLine(f"paper{other}{leaked}", points)


def is_log(values: Sequence[float]) -> bool:
    """Whether logarithms space the values more evenly than the values themselves do."""
    if len(values) < 3 or min(values) <= 0:
        return False
    gaps, ratios = np.diff(np.sort(values)), np.diff(np.log(np.sort(values)))
    return float(ratios.max() / ratios.min()) < float(gaps.max() / gaps.min())
