"""What is drawn as charts: a training over steps, trials side by side, scores over an axis."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raynef.report.chart import Axis, Chart, Dots, Line, chart
from raynef.report.sweep_records import AxisLine, AxisPlot, AxisPoint, Curve
from raynef.report.table import mean_sd
from raynef.report.words import Term, number, plain_number, term

MAX_MARKS = 8  # epochs marked in one chart
MAX_HOVER = 120
MAX_LINES = 4
MAX_TRIALS_OF_TERMS = 8
"""Of more trials the loss is shown alone: the page would grow by three charts for four trials."""

# (heading, ((key, side, starts at zero), ...)). Terms of unlike size get an axis each.
_GROUPS: tuple[tuple[str, tuple[tuple[str, str, bool], ...]], ...] = (
    ("Loss and trace", (("loss", "left", False), ("trace", "right", False))),
    ("Penalty", (("penalty", "left", True),)),
    (
        "Clusters in use and entropy",
        (
            ("clusters_in_use", "left", True),
            ("columns_below_1", "left", True),
            ("entropy", "right", True),
        ),
    ),
    ("Tau and learning rate", (("tau", "left", True), ("lr", "right", True))),
)
_TRIAL_TERMS = ("loss", "trace", "penalty", "clusters_in_use")


@dataclass(frozen=True)
class Key:
    """An entry of a legend: the line's CSS classes, its name and a note."""

    style: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A chart under its heading and legend; ``terms`` explain it in plain words."""

    heading: str
    keys: tuple[Key, ...]
    chart: Chart
    terms: tuple[Term, ...] = ()


def training_figures(steps: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """A figure for each group of terms that ``steps`` has values of."""
    numbered = [(_float(step.get("step")), i) for i, step in enumerate(steps)]
    order = sorted((x if math.isfinite(x) else float(i), i) for x, i in numbered)
    steps, xs = [steps[i] for _, i in order], [_whole(x) for x, _ in order]
    marks = _epochs(xs, steps)
    figures = []
    for heading, keys in _GROUPS:
        values = {key: [_float(step.get(key)) for step in steps] for key, _, _ in keys}
        known = [key for key in keys if any(map(math.isfinite, values[key[0]]))]
        if not known:
            continue
        lines = [
            Line(f"c{color}", xs, values[key], side, from_zero)
            for color, (key, side, from_zero) in enumerate(known)
        ]
        terms = tuple(term(key) for key, _, _ in known)
        names = [found.name for found in terms]
        if len(known) < len(keys):
            heading = " and ".join(names).capitalize()
        columns = _columns(xs, lines, names)
        drawn = chart(heading, Axis("step"), lines, columns=columns, marks=marks)
        if len({line.side for line in lines}) > 1:
            names = [f"{name} ({side})" for name, (_, side, _) in zip(names, known, strict=True)]
        figures.append(Figure(heading, _keys(names, lines), drawn, terms))
    return figures


def trial_figures(curves: Sequence[Curve]) -> list[Figure]:
    """Figures of the loss, few lines each; those of its terms follow, of few trials.

    All figures of a term have the same scales.
    """
    figures = []
    for key in _TRIAL_TERMS if len(curves) <= MAX_TRIALS_OF_TERMS else _TRIAL_TERMS[:1]:
        name = term(key).name
        known = [(curve.name, values) for curve in curves if (values := _by_step(curve, key))]
        parts = [_trial_lines(part) for part in _parts(known)]
        everything = [line for _, lines in parts for line in lines]
        for names, lines in parts:
            columns = _columns(lines[0].xs, lines, names)
            title = f"{name} of trials over steps"
            drawn = chart(title, Axis("step"), lines, columns=columns, beside=everything)
            figures.append(Figure(name[:1].upper() + name[1:], _keys(names, lines), drawn))
    return figures


def axis_figures(plot: AxisPlot) -> list[Figure]:
    """Charts of at most ``MAX_LINES`` lines each, the paper's among them; none without a score."""
    charts: list[list[AxisLine]] = []
    for line in plot.lines:
        if not line.points:
            continue
        if not charts or len(_with_papers([*charts[-1], line])) > MAX_LINES:
            charts.append([])
        charts[-1].append(line)
    drawn = [_with_papers(lines) for lines in charts]
    everything = [
        _dots(plot, key, point) for pairs in drawn for key, line in pairs for point in line.points
    ]
    return [_axis_figure(plot, pairs, everything) for pairs in drawn]


def _keys(names: Sequence[str], lines: Sequence[Line]) -> tuple[Key, ...]:
    """Name and last value of each line."""
    keys = []
    for name, line in zip(names, lines, strict=True):
        last = next(v for v in reversed(line.values) if math.isfinite(v))
        keys.append(Key(line.style, name, f"last {number(_whole(last))}"))
    return tuple(keys)


def _columns(
    xs: Sequence[float], lines: Sequence[Line], names: Sequence[str]
) -> list[tuple[float, str]]:
    """What the lines' values are at some of the steps."""
    count = min(len(xs), MAX_HOVER)
    columns = []
    for j in range(count):
        i = round(j * (len(xs) - 1) / max(count - 1, 1))
        values = [(name, line.values[i]) for name, line in zip(names, lines, strict=True)]
        known = [f"{name} {number(value)}" for name, value in values if math.isfinite(value)]
        columns.append((xs[i], "\n".join([f"step {number(xs[i])}", *known])))
    return columns


def _epochs(xs: Sequence[float], steps: Sequence[Mapping[str, Any]]) -> list[tuple[float, str]]:
    """Where epochs start: all of few, round ones (every 2nd, 5th, 10th, ...) of many."""
    starts: dict[int, float] = {}
    for x, step in zip(xs, steps, strict=True):
        epoch = _float(step.get("epoch"))
        if math.isfinite(epoch):
            starts.setdefault(int(epoch), x)
    later = sorted(starts)[1:]  # the first starts at the axis
    power = 10 ** max(0, len(str(len(later))) - 2)
    strides = [factor * power for factor in (1, 2, 5, 10, 20)]
    stride = next((s for s in strides if len(later) <= MAX_MARKS * s), strides[-1])
    kept = [epoch for epoch in later if epoch % stride == 0]
    return [(starts[e], str(e) if i else f"epoch {e}") for i, e in enumerate(kept)]


def _parts(
    known: Sequence[tuple[str, dict[int, float]]],
) -> list[Sequence[tuple[str, dict[int, float]]]]:
    """As few charts as hold them, with about as many lines each."""
    count = math.ceil(len(known) / MAX_LINES)
    ends = [i * len(known) // count for i in range(count + 1)] if count else []
    return [known[start:stop] for start, stop in itertools.pairwise(ends)]


def _trial_lines(
    part: Sequence[tuple[str, dict[int, float]]],
) -> tuple[list[str], list[Line]]:
    """Names and lines of the trials of one chart, over the steps of all of them."""
    xs = sorted({step for _, values in part for step in values})
    lines = [
        Line(f"c{color}", xs, [values.get(x, math.nan) for x in xs])
        for color, (_, values) in enumerate(part)
    ]
    return [trial for trial, _ in part], lines


def _by_step(curve: Curve, key: str) -> dict[int, float]:
    """A term by step; where training went on from a checkpoint, a step's last value counts."""
    pairs = ((_float(step.get("step")), _float(step.get(key))) for step in curve.steps)
    return {int(x): value for x, value in pairs if math.isfinite(x) and math.isfinite(value)}


def _with_papers(lines: Sequence[AxisLine]) -> list[tuple[Key, AxisLine]]:
    """Lines, then the paper's: one for all, or each in the color of its own line."""
    own = [(Key(f"c{color}", line.name), line) for color, line in enumerate(lines)]
    papers: dict[AxisLine, list[Key]] = {}
    for key, line in own:
        if line.paper is not None:
            papers.setdefault(line.paper, []).append(key)
    if len(papers) == 1:
        return own + [(Key("paper", paper.name), paper) for paper in papers]
    return own + [
        (Key(f"{keys[0].style} paper", f"{', '.join(k.name for k in keys)}: {paper.name}"), paper)
        for paper, keys in papers.items()
    ]


def _axis_figure(
    plot: AxisPlot, drawn: Sequence[tuple[Key, AxisLine]], everything: Sequence[Dots]
) -> Figure:
    """``everything`` is what all charts of the plot show."""
    heading = f"{plot.metric.partition(' (')[0]} over {plot.axis}"
    lines = [_axis_line(key, line.points) for key, line in drawn if plot.joined]
    dots = [_dots(plot, key, point) for key, line in drawn for point in line.points]
    axis = Axis(plot.axis, plot.ticks, plot.log)
    shape = chart(heading, axis, lines, dots=dots, y_name=plot.metric, beside=everything)
    return Figure(heading, tuple(key for key, _ in drawn), shape)


def _axis_line(key: Key, points: Sequence[AxisPoint]) -> Line:
    """Means in percent."""
    points = sorted(points, key=lambda point: point.at)
    means = [100 * mean_sd(point.values)[0] for point in points]
    return Line(key.style, [point.at for point in points], means)


def _dots(plot: AxisPlot, key: Key, point: AxisPoint) -> Dots:
    """The mean with its deviation, or of a search the dots of all seeds; the title tells both."""
    mean, sd = mean_sd(point.values)
    text = f"{100 * mean:.1f}" + ("" if sd is None else f" ± {100 * sd:.1f}")
    seeds = f", {len(point.values)} seeds" if len(point.values) > 1 else ""
    title = f"{key.name}\n{plot.axis} {number(point.at)}: {text}{seeds}"
    if not plot.joined:
        return Dots(key.style, point.at, tuple(100 * value for value in point.values), title)
    bar = (100 * (mean - sd), 100 * (mean + sd)) if sd else None
    return Dots(key.style, point.at, (100 * mean,), title, bar)


def _whole(value: float) -> float:
    return int(value) if value.is_integer() else value


def _float(value: Any) -> float:
    """``value`` as float; NaN, which no chart draws, where it is missing or not a number."""
    plain = plain_number(value)
    return math.nan if plain is None else float(plain)
