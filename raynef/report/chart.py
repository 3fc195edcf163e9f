"""One chart: axes with round ticks, lines, dots with error bars, titles on hover.

What is computed here is drawn as SVG by ``templates/figures.html``. Places are in drawing units, of
which a chart is 480 wide; colors come from the CSS.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from raynef.report.scale import Scale, scale
from raynef.report.words import number

MAX_BUCKETS = 240  # two points each: about one per pixel of the chart
_TICK_ROOM = 34.0  # between the labels of two ticks


@dataclass(frozen=True)
class Axis:
    """The axis across: its name, its ticks where they are given, and whether it is logarithmic."""

    name: str
    ticks: tuple[float, ...] = ()
    log: bool = False


@dataclass(frozen=True)
class Line:
    """One line."""

    style: str  # its classes in the CSS
    xs: Sequence[float]  # places of its points, ascending
    values: Sequence[float]  # one for each of ``xs``; NaN where there is none
    side: str = "left"  # of the axis that it is read on, left or right
    from_zero: bool = False  # whether that axis holds zero


@dataclass(frozen=True)
class Dots:
    """Dots at one x, with a title on hover; ``bar`` are the ends of an error bar."""

    style: str
    x: float
    ys: tuple[float, ...]
    title: str
    bar: tuple[float, float] | None = None


@dataclass(frozen=True)
class Frame:
    """Where the axes end; ``named`` are those whose names stand outside of them."""

    height: int
    top: int
    right: int
    bottom: int
    named: bool
    left: int = 50
    width: int = 480


_PLAIN = Frame(230, 18, 430, 204, named=False)
_NAMED = Frame(260, 28, 460, 220, named=True)


@dataclass(frozen=True)
class YAxis:
    """An upright axis: left or right, the CSS class of its labels, and its scale."""

    side: str
    style: str
    scale: Scale


@dataclass(frozen=True)
class Chart:
    """A chart that is ready to be drawn."""

    title: str  # for those who cannot see it
    frame: Frame
    x_name: str
    y_name: str | None
    x: Scale
    x_ticks: tuple[tuple[float, str], ...]  # place and label, empty where there is no room
    y_axes: tuple[YAxis, ...]  # the first has the rules
    paths: tuple[tuple[str, str], ...]  # of the lines: CSS classes, and d
    dots: tuple[Dots, ...]
    columns: tuple[tuple[float, str], ...]
    marks: tuple[tuple[float, str], ...]


def chart(
    title: str,
    x: Axis,
    lines: Sequence[Line],
    *,
    dots: Sequence[Dots] = (),
    columns: Sequence[tuple[float, str]] = (),
    marks: Sequence[tuple[float, str]] = (),
    y_name: str | None = None,
    beside: Sequence[Line | Dots] = (),
) -> Chart:
    """The chart of at least one finite value.

    Args:
        title: for those who cannot see it.
        x: the axis across.
        lines: each with the side of the axis that it is read on.
        dots: drawn over the lines, read on the left.
        columns: (x, title), shown wherever the pointer is above that x.
        marks: (x, text), upright lines such as starts of epochs.
        y_name: of the left axis; with it the chart is taller and its ticks have rules.
        beside: what charts beside this one show: they get the same scales.
    """
    frame = _PLAIN if y_name is None else _NAMED
    all_lines = [*lines, *(one for one in beside if isinstance(one, Line))]
    all_dots = [*dots, *(one for one in beside if isinstance(one, Dots))]
    ends = [end for line in all_lines for end in (min(line.xs), max(line.xs))]
    x_scale = _x_scale(x, [*ends, *(place.x for place in all_dots)], frame)
    y_axes = _y_axes(all_lines, all_dots, frame)
    scales = {axis.side: axis.scale for axis in y_axes}
    return Chart(
        title,
        frame,
        x.name,
        y_name,
        x_scale,
        _with_room([(x_scale(value), text) for value, text in _x_ticks(x, x_scale)]),
        tuple(y_axes),
        tuple(
            (line.style, _path(line, x_scale, scales[line.side], dot_alone=not dots))
            for line in lines
        ),
        tuple(dots),
        tuple(columns),
        tuple(marks),
    )


def _x_scale(x: Axis, places: Sequence[float], frame: Frame) -> Scale:
    ends = [*places, *x.ticks]
    low, high = min(ends), max(ends)
    if x.log:
        low, high = math.log10(low), math.log10(high)
    pad = 0.04 * (high - low) if frame.named else 0.0  # a dot at the end is no half dot
    found = scale(low - pad, high + pad, frame.left, frame.right, num_ticks=6, tight=True)
    return dataclasses.replace(found, log=x.log)


def _y_axes(lines: Sequence[Line], dots: Sequence[Dots], frame: Frame) -> list[YAxis]:
    """Those that something is read on; the second has the grid of the first."""
    found: list[tuple[str, list[Line], Scale]] = []
    for side in ("left", "right"):
        here = [line for line in lines if line.side == side]
        values = [v for line in here for v in line.values if math.isfinite(v)]
        if side == "left":
            values += [y for place in dots for y in (*place.ys, *(place.bar or ()))]
        if values:
            zero = [0.0] if any(line.from_zero for line in here) else []
            low, high = min(values + zero), max(values + zero)
            grid = len(found[0][2].ticks) - 1 if found else None
            y = scale(low, high, frame.bottom, frame.top, num_ticks=4, intervals=grid)
            found.append((side, here, y))
    # Two axes: the numbers wear the color of the one line that they belong to.
    return [
        YAxis(side, f"{side} t{here[0].style[1:]}" if len(found) > len(here) == 1 else side, y)
        for side, here, y in found
    ]


def _x_ticks(x: Axis, x_scale: Scale) -> list[tuple[float, str]]:
    if x.ticks:
        return [(value, number(value)) for value in sorted(x.ticks)]
    if not x.log:
        return [(value, x_scale.text(value)) for value in x_scale.ticks]
    powers = range(math.floor(x_scale.low), math.ceil(x_scale.high) + 1)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [(v, number(v)) for v in values if x_scale.low <= math.log10(v) <= x_scale.high]


def _with_room(ticks: Sequence[tuple[float, str]]) -> tuple[tuple[float, str], ...]:
    """Places with their labels, but for labels that would touch the one before."""
    shown, last = [], -math.inf
    for at, text in ticks:
        has_room = at - last >= _TICK_ROOM
        shown.append((at, text if has_room else ""))
        last = at if has_room else last
    return tuple(shown)


def _path(line: Line, x_scale: Scale, y_scale: Scale, *, dot_alone: bool) -> str:
    """The line's path; a gap where values are missing or not finite."""
    parts, pen = [], "M"
    for i in _thin(line.values):
        value = line.values[i]
        if not math.isfinite(value):
            pen = "M"
            continue
        parts.append(f"{pen}{x_scale(line.xs[i]):.1f} {y_scale(value):.1f}")
        pen = "L"
    if dot_alone and len(parts) == 1:  # a line of no length is drawn as a dot by its round cap
        parts.append(parts[0].replace("M", "L"))
    return "".join(parts)


def _thin(values: Sequence[float]) -> list[int]:
    """Indices to draw: all of few; of many the lowest and highest of each bucket, no spike lost."""
    if len(values) <= 2 * MAX_BUCKETS:
        return list(range(len(values)))
    kept: set[int] = {0, len(values) - 1}
    for bucket in range(MAX_BUCKETS):
        start = bucket * len(values) // MAX_BUCKETS
        indices = range(start, (bucket + 1) * len(values) // MAX_BUCKETS)
        finite = [i for i in indices if math.isfinite(values[i])]
        if finite:
            kept |= {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)}
        if len(finite) < len(indices):
            kept.add(next(i for i in indices if not math.isfinite(values[i])))
    return sorted(kept)
