"""One chart as SVG shapes: axes with round ticks, lines, dots with error bars, titles on hover.

Places are in drawing units, of which a chart is 480 wide; colors come from the CSS.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raynef.report.scale import Scale, scale
from raynef.report.words import number

MAX_BUCKETS = 240  # two points each: about one per pixel of the chart
_WIDTH, _LEFT = 480.0, 50.0
_TICK_ROOM = 34.0  # between the labels of two ticks
_CAP = 4.0  # half the width of an error bar's ends


@dataclass(frozen=True)
class Shape:
    """An SVG element; ``title`` is shown on hover."""

    name: str
    attributes: Mapping[str, str | None]
    text: str = ""
    title: str = ""
    inner: tuple["Shape", ...] = ()


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
class _Frame:
    """Where the axes end; ``named`` are those whose names stand outside of them."""

    height: float
    top: float
    right: float
    bottom: float
    named: bool


_PLAIN = _Frame(230.0, 18.0, _WIDTH - 50, 204.0, named=False)
_NAMED = _Frame(260.0, 28.0, _WIDTH - 20, 220.0, named=True)


def chart(
    title: str,
    x: Axis,
    lines: Sequence[Line],
    *,
    dots: Sequence[Dots] = (),
    columns: Sequence[tuple[float, str]] = (),
    marks: Sequence[tuple[float, str]] = (),
    y_name: str | None = None,
) -> Shape:
    """The chart of at least one finite value.

    Args:
        title: for those who cannot see it.
        x: the axis across.
        lines: with the unit of the y axes.
        dots: drawn over the lines.
        columns: (x, title), shown wherever the pointer is above that x.
        marks: (x, text), upright lines such as starts of epochs.
        y_name: of the left axis; with it the chart is taller and its ticks have rules.
    """
    frame = _PLAIN if y_name is None else _NAMED
    places = [*(end for line in lines for end in (min(line.xs), max(line.xs)))]
    places += [place.x for place in dots]
    x_scale = _x_scale(x, places, frame)
    y_scales = _y_scales(lines, dots, frame)
    shapes = _y_axes(lines, y_scales, frame) + _x_axis(x, x_scale, frame)
    if y_name is not None:
        shapes.append(_text("name", y_name, 2, frame.top - 16))
    for at, text in marks:
        shapes.append(_rule("mark", x_scale(at), frame.top - 4, x_scale(at), frame.bottom))
        shapes.append(_text("middle mark", text, x_scale(at), frame.top - 7))
    for line in lines:
        path = _path(line, x_scale, y_scales[line.side], dot_alone=not dots)
        shapes.append(Shape("path", {"d": path, "class": line.style}))
    shapes += [_group(place, x_scale, y_scales["left"]) for place in dots]
    width = (frame.right - _LEFT) / max(len(columns), 1)
    shapes += [_column(x_scale(at), width, about, frame) for at, about in columns]
    box = {"viewBox": f"0 0 {_WIDTH:g} {frame.height:g}", "class": "chart", "role": "img"}
    return Shape("svg", box, title=title, inner=tuple(shapes))


def _x_scale(x: Axis, places: Sequence[float], frame: _Frame) -> Scale:
    ends = [*places, *x.ticks]
    low, high = min(ends), max(ends)
    if x.log:
        low, high = math.log10(low), math.log10(high)
    pad = 0.04 * (high - low) if frame.named else 0.0  # a dot at the end is no half dot
    found = scale(low - pad, high + pad, _LEFT, frame.right, num_ticks=6, tight=True)
    return dataclasses.replace(found, log=x.log)


def _y_scales(lines: Sequence[Line], dots: Sequence[Dots], frame: _Frame) -> dict[str, Scale]:
    """By side; the second has the grid of the first."""
    scales: dict[str, Scale] = {}
    for side in ("left", "right"):
        here = [line for line in lines if line.side == side]
        values = [v for line in here for v in line.values if math.isfinite(v)]
        if side == "left":
            values += [y for place in dots for y in (*place.ys, *(place.bar or ()))]
        if values:
            zero = [0.0] if any(line.from_zero for line in here) else []
            ends = min(values + zero), max(values + zero)
            intervals = len(scales["left"].ticks) - 1 if scales else None
            scales[side] = scale(*ends, frame.bottom, frame.top, num_ticks=4, intervals=intervals)
    return scales


def _y_axes(lines: Sequence[Line], scales: Mapping[str, Scale], frame: _Frame) -> list[Shape]:
    """Rules across the chart and the ticks' labels."""
    shapes = []
    main = next(iter(scales))
    for side, y_scale in scales.items():
        here = [line for line in lines if line.side == side]
        # Two axes: the numbers wear the color of the one line that they belong to.
        tint = f" t{here[0].style[1:]}" if len(scales) > 1 and len(here) == 1 else ""
        x = _LEFT - 8 if side == "left" else frame.right + 8
        for value in y_scale.ticks:
            y = round(y_scale(value), 1)
            if side == main:
                shapes.append(_rule("grid", _LEFT, y, frame.right, y))
            shapes.append(_text(f"{side}{tint}", y_scale.text(value), x, y + 4))
    return shapes


def _x_axis(x: Axis, x_scale: Scale, frame: _Frame) -> list[Shape]:
    """Rule, ticks and name."""
    bottom, last = frame.bottom, -math.inf
    shapes = [_rule("axis", _LEFT, bottom, frame.right, bottom)]
    for value, text in _x_ticks(x, x_scale):
        at = x_scale(value)
        if frame.named:
            shapes.append(_rule("axis", at, bottom, at, bottom + 4))
        if at - last >= _TICK_ROOM:
            shapes.append(_text("middle", text, at, bottom + (18 if frame.named else 16)))
            last = at
    if frame.named:
        middle = (_LEFT + frame.right) / 2
        return [*shapes, _text("middle", x.name, middle, frame.height - 4)]
    return [*shapes, _text("left", x.name, _WIDTH - 2, bottom + 16)]


def _x_ticks(x: Axis, x_scale: Scale) -> list[tuple[float, str]]:
    if x.ticks:
        return [(value, number(value)) for value in sorted(x.ticks)]
    if not x.log:
        return [(value, x_scale.text(value)) for value in x_scale.ticks]
    powers = range(math.floor(x_scale.low), math.ceil(x_scale.high) + 1)
    values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [(v, number(v)) for v in values if x_scale.low <= math.log10(v) <= x_scale.high]


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


def _group(place: Dots, x_scale: Scale, y_scale: Scale) -> Shape:
    """The dots, over their error bar."""
    x, style = x_scale(place.x), place.style
    shapes = []
    if place.bar is not None:
        low, high = (y_scale(end) for end in place.bar)
        shapes.append(_rule(style, x, low, x, high))
        shapes += [_rule(style, x - _CAP, y, x + _CAP, y) for y in (low, high)]
    shapes += [_shape("circle", style, cx=x, cy=y_scale(y), r=3.5) for y in place.ys]
    return Shape("g", {}, title=place.title, inner=tuple(shapes))


def _column(x: float, width: float, about: str, frame: _Frame) -> Shape:
    """An invisible column whose title is shown under the pointer."""
    height = frame.bottom - frame.top
    area = _shape("rect", x=x - width / 2, y=frame.top, width=width, height=height)
    line = _rule(None, x, frame.top, x, frame.bottom)
    return Shape("g", {"class": "hit"}, title=about, inner=(area, line))


def _rule(style: str | None, x1: float, y1: float, x2: float, y2: float) -> Shape:
    return _shape("line", style, x1=x1, y1=y1, x2=x2, y2=y2)


def _text(style: str, text: str, x: float, y: float) -> Shape:
    return _shape("text", style, text, x=x, y=y)


def _shape(name: str, style: str | None = None, text: str = "", **places: float) -> Shape:
    return Shape(name, {"class": style, **{key: f"{v:.1f}" for key, v in places.items()}}, text)
