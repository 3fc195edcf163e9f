"""Training over steps: one figure per group of terms, each with a legend and plain words."""

import math
from collections.abc import Sequence
from typing import Any

from raynef.report.markup import Markup, tag
from raynef.report.svg import Series, line_chart
from raynef.report.words import number, plain_number, term

MAX_MARKS = 8  # epochs marked in one chart

# (heading, ((key, axis, starts at zero), ...)). Terms of unlike size get an axis each.
GROUPS: tuple[tuple[str, tuple[tuple[str, str, bool], ...]], ...] = (
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


def charts(steps: Sequence[dict[str, Any]]) -> list[Markup]:
    """Figures for the terms that ``steps`` holds; a group without any value is left out."""
    numbered = [(_float(step.get("step")), i, step) for i, step in enumerate(steps)]
    numbered = [(x if math.isfinite(x) else float(i), i, step) for x, i, step in numbered]
    numbered.sort(key=lambda entry: entry[:2])
    steps = [step for _, _, step in numbered]
    xs = [_whole(x) for x, _, _ in numbered]
    marks = _epochs(xs, steps)
    figures = []
    for heading, keys in GROUPS:
        series = []
        for key, axis, from_zero in keys:
            values = [_float(step.get(key)) for step in steps]
            if any(map(math.isfinite, values)):
                series.append(Series(term(key).name, values, len(series), axis, from_zero))
        if series:
            meanings = [term(key).meaning for key, _, _ in keys]
            names = [term(key).name for key, _, _ in keys]
            present = {line.name for line in series}
            words = [
                tag("li", tag("b", name), " ", meaning)
                for name, meaning in zip(names, meanings, strict=True)
                if name in present
            ]
            chart = line_chart(xs, series, x_name="step", description=heading, marks=marks)
            caption = tag("figcaption", tag("ul", words))
            figures.append(
                tag("figure", tag("h3", heading), _legend(series), chart, caption, class_="plot")
            )
    return figures


def _legend(series: Sequence[Series]) -> Markup:
    """Name and last value of each line; with two axes also which one it is read on."""
    sides = {line.axis for line in series}
    entries = []
    for line in series:
        last = next(v for v in reversed(line.values) if math.isfinite(v))
        side = f" ({line.axis})" if len(sides) > 1 else ""
        entries.append(
            tag(
                "li",
                tag("i", class_=f"key c{line.color}"),
                f"{line.name}{side}",
                tag("span", f"last {number(_whole(last))}"),
            )
        )
    return tag("ul", entries, class_="legend")


def _epochs(xs: Sequence[float], steps: Sequence[dict[str, Any]]) -> list[tuple[float, str]]:
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


def _whole(value: float) -> float:
    return int(value) if value.is_integer() else value


def _float(value: Any) -> float:
    """``value`` as float; NaN, which no chart draws, where it is missing or not a number."""
    plain = plain_number(value)
    return math.nan if plain is None else float(plain)
