"""Line charts as inline SVG: axes, ticks, epoch marks, hover titles; colors come from the CSS."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raynef.report.markup import Markup, tag
from raynef.report.words import number

WIDTH, HEIGHT = 480.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 50.0, 18.0, 26.0
MAX_BUCKETS = 240  # two points each: about one per pixel of the chart
MAX_HOVER = 120


@dataclass(frozen=True)
class Series:
    """One line. ``values`` has one entry per x, NaN where there is none; ``axis`` left or right."""

    name: str
    values: Sequence[float]
    color: int  # 0 to 3: the CSS decides what that looks like
    axis: str = "left"
    from_zero: bool = False


@dataclass(frozen=True)
class Scale:
    """Maps ``low..high`` to ``start..stop`` in drawing units, with round ticks."""

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[float, ...]
    digits: int

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def text(self, value: float) -> str:
        """A tick's label; all labels of one axis have as many decimals."""
        largest = max(abs(self.low), abs(self.high))
        if value == 0:
            return "0"
        if not 1e-2 <= largest < 1e5:
            mantissa, exponent = f"{value:.1e}".split("e")
            return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−")
        return f"{value:.{self.digits}f}".replace("-", "−")


def scale(
    low: float,
    high: float,
    start: float,
    stop: float,
    *,
    num_ticks: int,
    tight: bool = False,
    intervals: int | None = None,
) -> Scale:
    """Ticks at 1, 2 or 5 times a power of ten; the range ends at ticks unless ``tight``.

    With ``intervals`` there are exactly so many between the ticks, so that two axes share a grid.
    """
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-12):  # a flat line sits in the middle
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / num_ticks
    power = 10.0 ** math.floor(math.log10(raw))
    steps = [factor * power for factor in (1, 2, 5, 10, 20, 50, 100)]
    step = next(step for step in steps if step >= raw * (1 - 1e-9))
    if intervals is not None:
        covers = [s for s in steps if (math.floor(low / s + 1e-9) + intervals) * s >= high]
        # Where zero lies inside, one side may never be covered by so few: free ticks then.
        step = covers[0] if covers else step
        high = (math.floor(low / step + 1e-9) + intervals) * step if covers else high
    if not tight:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = tuple(round((first + i) * step, digits) + 0.0 for i in range(count))
    return Scale(low, high, start, stop, ticks, digits)


def line_chart(
    xs: Sequence[float],
    series: Sequence[Series],
    *,
    x_name: str,
    description: str,
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """One chart. ``xs`` ascending; ``marks`` are (x, text) lines such as starts of epochs."""
    x_scale = scale(xs[0], xs[-1], LEFT, WIDTH - RIGHT, num_ticks=6, tight=True)
    y_scales: dict[str, Scale] = {}
    for axis in ("left", "right"):
        lines = [line for line in series if line.axis == axis]
        if lines:
            first = next(iter(y_scales.values()), None)
            y_scales[axis] = _y_scale(lines, None if first is None else len(first.ticks) - 1)
    return tag(
        "svg",
        tag("title", description),
        _grid(x_scale, y_scales, x_name, series),
        _marks(marks, x_scale),
        [
            tag("path", d=_path(xs, line, x_scale, y_scales[line.axis]), class_=f"c{line.color}")
            for line in series
        ],
        _hover(xs, series, x_scale, x_name),
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        class_="chart",
        role="img",
    )


def _y_scale(series: Sequence[Series], intervals: int | None) -> Scale:
    values = [v for line in series for v in line.values if math.isfinite(v)]
    low, high = min(values), max(values)
    if any(line.from_zero for line in series):
        low, high = min(low, 0.0), max(high, 0.0)
    return scale(low, high, HEIGHT - BOTTOM, TOP, num_ticks=4, intervals=intervals)


def _grid(
    x_scale: Scale, y_scales: dict[str, Scale], x_name: str, series: Sequence[Series]
) -> list[Markup]:
    parts = []
    main = next(iter(y_scales))
    for axis, y_scale in y_scales.items():
        lines = [line for line in series if line.axis == axis]
        # Two axes: the numbers wear the color of the one line that they belong to.
        tint = f" t{lines[0].color}" if len(y_scales) > 1 and len(lines) == 1 else ""
        x = LEFT - 8 if axis == "left" else WIDTH - RIGHT + 8
        for value in y_scale.ticks:
            y = round(y_scale(value), 1)
            if axis == main:
                parts.append(_rule("grid", LEFT, y, WIDTH - RIGHT, y))
            parts.append(_text(y_scale.text(value), x, y + 4, f"{axis}{tint}"))
    bottom = HEIGHT - BOTTOM
    parts.append(_rule("axis", LEFT, bottom, WIDTH - RIGHT, bottom))
    for value in x_scale.ticks:
        parts.append(_text(x_scale.text(value), x_scale(value), bottom + 16, "middle"))
    parts.append(_text(x_name, WIDTH - 2, bottom + 16, "left"))
    return parts


def _marks(marks: Sequence[tuple[float, str]], x_scale: Scale) -> list[Markup]:
    parts = []
    for x, text in marks:
        at = x_scale(x)
        parts.append(_rule("mark", at, TOP - 4, at, HEIGHT - BOTTOM))
        parts.append(_text(text, at, TOP - 7, "middle mark"))
    return parts


def _path(xs: Sequence[float], line: Series, x_scale: Scale, y_scale: Scale) -> str:
    """The line's path; a gap where values are missing or not finite."""
    parts, pen = [], "M"
    for i in _thin(line.values):
        value = line.values[i]
        if not math.isfinite(value):
            pen = "M"
            continue
        parts.append(f"{pen}{x_scale(xs[i]):.1f} {y_scale(value):.1f}")
        pen = "L"
    if len(parts) == 1:  # a lone point: a line of no length, drawn as a dot by its round cap
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


def _hover(
    xs: Sequence[float], series: Sequence[Series], x_scale: Scale, x_name: str
) -> list[Markup]:
    """Invisible columns whose titles tell the values under the pointer."""
    parts = []
    count = min(len(xs), MAX_HOVER)
    width = (WIDTH - LEFT - RIGHT) / count
    for j in range(count):
        i = round(j * (len(xs) - 1) / max(count - 1, 1))
        lines = [f"{x_name} {number(xs[i])}"]
        lines += [
            f"{line.name} {number(line.values[i])}"
            for line in series
            if math.isfinite(line.values[i])
        ]
        x = x_scale(xs[i])
        parts.append(
            tag(
                "g",
                tag("title", "\n".join(lines)),
                tag(
                    "rect",
                    x=f"{x - width / 2:.1f}",
                    y=f"{TOP:g}",
                    width=f"{width:.1f}",
                    height=f"{HEIGHT - TOP - BOTTOM:g}",
                ),
                _rule("", x, TOP, x, HEIGHT - BOTTOM),
                class_="hit",
            )
        )
    return parts


def _rule(class_: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return tag("line", class_=class_ or None, **{key: f"{v:.1f}" for key, v in ends.items()})


def _text(text: str, x: float, y: float, class_: str) -> Markup:
    return tag("text", text, x=f"{x:.1f}", y=f"{y:.1f}", class_=class_)
