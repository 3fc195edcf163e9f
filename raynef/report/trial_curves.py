"""Training of a sweep's trials over steps, side by side: few lines a chart, one term each."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from raynef.report.markup import Markup, tag
from raynef.report.svg import Series, line_chart
from raynef.report.sweep_records import Curve
from raynef.report.words import number, plain_number, term

MAX_LINES = 4
MAX_TRIALS_OF_TERMS = 8
"""Of more trials the loss is shown alone: the page would grow by three charts for four trials."""
_TERMS = ("loss", "trace", "penalty", "clusters_in_use")


def trial_curves(curves: Sequence[Curve]) -> list[Markup]:
    """Figures of the loss; those of its terms follow, of few trials."""
    terms = _TERMS if len(curves) <= MAX_TRIALS_OF_TERMS else _TERMS[:1]
    figures = []
    for key in terms:
        known = [curve for curve in curves if _values(curve, key)]
        figures += [_figure(key, part) for part in _parts(known)]
    return figures


def _parts(curves: Sequence[Curve]) -> list[Sequence[Curve]]:
    """As few charts as hold them, with about as many lines each."""
    count = math.ceil(len(curves) / MAX_LINES)
    ends = [i * len(curves) // count for i in range(count + 1)] if count else []
    return [curves[start:stop] for start, stop in itertools.pairwise(ends)]


def _figure(key: str, curves: Sequence[Curve]) -> Markup:
    by_step = [_values(curve, key) for curve in curves]
    xs = sorted({step for values in by_step for step in values})
    series = [
        Series(curve.name, [values.get(x, math.nan) for x in xs], color)
        for color, (curve, values) in enumerate(zip(curves, by_step, strict=True))
    ]
    keys = [
        tag(
            "li",
            tag("i", class_=f"key c{line.color}"),
            line.name,
            tag("span", f"last {number(values[max(values)])}"),
        )
        for line, values in zip(series, by_step, strict=True)
    ]
    name = term(key).name
    return tag(
        "figure",
        tag("h3", name[:1].upper() + name[1:]),
        tag("ul", keys, class_="legend"),
        line_chart(xs, series, x_name="step", description=f"{name} of trials over steps"),
        class_="plot",
    )


def _values(curve: Curve, key: str) -> Mapping[int, float]:
    """A term by step; where training went on from a checkpoint, a step's last value counts."""
    found: dict[int, float] = {}
    for step in curve.steps:
        at, value = _number(step.get("step")), _number(step.get(key))
        if at is not None and value is not None:
            found[int(at)] = value
    return found


def _number(value: Any) -> float | None:
    plain = plain_number(value)
    return plain if plain is not None and math.isfinite(plain) else None
