"""Scores over an axis of a sweep: lines with error bars for a grid, dots for a search."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raynef.report.markup import Markup, tag
from raynef.report.svg import LEFT, WIDTH, Scale, scale
from raynef.report.sweep_records import AxisLine, AxisPlot, AxisPoint
from raynef.report.table import mean_sd
from raynef.report.words import number

MAX_LINES = 4
_RIGHT, _TOP, _BOTTOM = WIDTH - 20.0, 28.0, 220.0  # of the axes; their names stand outside
_HEIGHT = 260.0
_TICK_ROOM = 34.0  # between the labels of two ticks
_CAP = 4.0  # half the width of an error bar's ends


@dataclass(frozen=True)
class _Drawn:
    """A line of a chart: its name there, and its class in the CSS."""

    line: AxisLine
    name: str
    style: str


def axis_figures(plot: AxisPlot) -> list[Markup]:
    """Charts of at most ``MAX_LINES`` lines each, the paper's among them; none without a score."""
    charts: list[list[AxisLine]] = []
    for line in plot.lines:
        if not line.points:
            continue
        if not charts or len(_drawn([*charts[-1], line])) > MAX_LINES:
            charts.append([])
        charts[-1].append(line)
    return [_figure(plot, _drawn(lines)) for lines in charts]


def _drawn(lines: Sequence[AxisLine]) -> list[_Drawn]:
    """Lines, then the paper's: one for all, or each in the color of its own line."""
    own = [_Drawn(line, line.name, f"c{color}") for color, line in enumerate(lines)]
    papers: dict[AxisLine, list[_Drawn]] = {}
    for line, mine in zip(lines, own, strict=True):
        if line.paper is not None:
            papers.setdefault(line.paper, []).append(mine)
    if len(papers) == 1:
        return own + [_Drawn(paper, paper.name, "paper") for paper in papers]
    return own + [
        _Drawn(paper, f"{', '.join(m.name for m in mine)}: {paper.name}", f"{mine[0].style} paper")
        for paper, mine in papers.items()
    ]


def _figure(plot: AxisPlot, lines: Sequence[_Drawn]) -> Markup:
    heading = f"{plot.metric.partition(' (')[0]} over {plot.axis}"
    keys = [tag("li", tag("i", class_=f"key {drawn.style}"), drawn.name) for drawn in lines]
    legend = tag("ul", keys, class_="legend")
    return tag("figure", tag("h3", heading), legend, _chart(plot, lines, heading), class_="plot")


def _chart(plot: AxisPlot, lines: Sequence[_Drawn], heading: str) -> Markup:
    points = [point for drawn in lines for point in drawn.line.points]
    x_scale = _x_scale(plot, [point.at for point in points])
    ends = [end for point in points for end in _range(point, joined=plot.joined)]
    y_scale = scale(min(ends), max(ends), _BOTTOM, _TOP, num_ticks=4)
    return tag(
        "svg",
        tag("title", heading),
        _axes(plot, x_scale, y_scale),
        [_line(drawn, x_scale, y_scale) for drawn in lines if plot.joined],
        [
            _point(plot, drawn, point, x_scale, y_scale)
            for drawn in lines
            for point in drawn.line.points
        ],
        viewBox=f"0 0 {WIDTH:g} {_HEIGHT:g}",
        class_="chart",
        role="img",
    )


def _range(point: AxisPoint, *, joined: bool) -> tuple[float, ...]:
    """What a point covers of the other axis, in percent."""
    if not joined:
        return tuple(100 * value for value in point.values)
    mean, sd = mean_sd(point.values)
    return 100 * (mean - (sd or 0)), 100 * (mean + (sd or 0))


@dataclass(frozen=True)
class _XScale:
    """Values of the axis to drawing units, with (value, text) for the ticks."""

    inner: Scale
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def __call__(self, value: float) -> float:
        return self.inner(math.log10(value) if self.log else value)


def _x_scale(plot: AxisPlot, values: Sequence[float]) -> _XScale:
    shown = [*values, *plot.ticks]
    low, high = min(shown), max(shown)
    if plot.log:
        low, high = math.log10(low), math.log10(high)
    pad = 0.04 * (high - low)  # a dot at the end is no half dot
    inner = scale(low - pad, high + pad, LEFT, _RIGHT, num_ticks=6, tight=True)
    if plot.ticks:
        ticks = [(value, number(value)) for value in sorted(plot.ticks)]
    elif plot.log:
        ticks = [(value, number(value)) for value in _decades(inner.low, inner.high)]
    else:
        ticks = [(value, inner.text(value)) for value in inner.ticks]
    return _XScale(inner, plot.log, tuple(ticks))


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times each power of ten within 10^low to 10^high."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [value for value in values if low <= math.log10(value) <= high]


def _axes(plot: AxisPlot, x_scale: _XScale, y_scale: Scale) -> list[Markup]:
    """Rules, ticks and the names of both axes."""
    parts = []
    for value in y_scale.ticks:
        y = y_scale(value)
        parts.append(_shape("line", "grid", x1=LEFT, y1=y, x2=_RIGHT, y2=y))
        parts.append(_shape("text", "left", y_scale.text(value), x=LEFT - 8, y=y + 4))
    parts.append(_shape("line", "axis", x1=LEFT, y1=_BOTTOM, x2=_RIGHT, y2=_BOTTOM))
    last = -math.inf
    for value, text in x_scale.ticks:
        x = x_scale(value)
        parts.append(_shape("line", "axis", x1=x, y1=_BOTTOM, x2=x, y2=_BOTTOM + 4))
        if x - last >= _TICK_ROOM:
            parts.append(_shape("text", "middle", text, x=x, y=_BOTTOM + 18))
            last = x
    middle = (LEFT + _RIGHT) / 2
    parts.append(_shape("text", "middle", plot.axis, x=middle, y=_HEIGHT - 4))
    parts.append(_shape("text", "name", plot.metric, x=2, y=_TOP - 16))
    return parts


def _line(drawn: _Drawn, x_scale: _XScale, y_scale: Scale) -> Markup:
    points = sorted(drawn.line.points, key=lambda point: point.at)
    places = [
        f"{x_scale(point.at):.1f} {y_scale(100 * mean_sd(point.values)[0]):.1f}" for point in points
    ]
    return tag("path", d="M" + "L".join(places), class_=drawn.style)


def _point(
    plot: AxisPlot, drawn: _Drawn, point: AxisPoint, x_scale: _XScale, y_scale: Scale
) -> Markup:
    """A dot with its error bar, or the dots of all seeds; the title tells the value."""
    x = x_scale(point.at)
    mean, sd = mean_sd(point.values)
    text = f"{100 * mean:.1f}" + ("" if sd is None else f" ± {100 * sd:.1f}")
    seeds = f", {len(point.values)} seeds" if len(point.values) > 1 else ""
    title = tag("title", f"{drawn.name}\n{plot.axis} {number(point.at)}: {text}{seeds}")
    color = drawn.style
    if not plot.joined:
        dots = [_dot(x, y_scale(100 * value), color) for value in point.values]
        return tag("g", title, dots)
    bar: list[Markup] = []
    if sd:
        low, high = (y_scale(end) for end in _range(point, joined=True))
        bar = [_shape("line", color, x1=x, y1=low, x2=x, y2=high)]
        bar += [_shape("line", color, x1=x - _CAP, y1=y, x2=x + _CAP, y2=y) for y in (low, high)]
    return tag("g", title, bar, _dot(x, y_scale(100 * mean), color))


def _dot(x: float, y: float, class_: str) -> Markup:
    return _shape("circle", class_, cx=x, cy=y, r=3.5)


def _shape(name: str, class_: str, text: str | None = None, **places: float) -> Markup:
    """An SVG element at places in drawing units."""
    return tag(name, text, class_=class_, **{key: f"{v:.1f}" for key, v in places.items()})
