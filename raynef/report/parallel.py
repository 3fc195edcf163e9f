"""Parallel coordinates: an upright rail for each coordinate, and a line for each score across all.

Places are in drawing units; ``templates/parallel.html`` draws them, and colors come from the CSS.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raynef.report.words import number, plain_number

TOP, BOTTOM, LEFT, STEP = 34.0, 264.0, 60.0, 150.0
"""Ends of the rails, the first of them, and the way to the next."""
_TICK_ROOM = 15.0
_MAX_TICKS = 8


@dataclass(frozen=True)
class Column:
    """A coordinate: its name and its value in each score, numbers or words."""

    name: str
    values: tuple[float | str, ...]
    log: bool = False


@dataclass(frozen=True)
class Rail:
    """An upright axis at some x: its name, and place and text of its ticks."""

    name: str
    x: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Strand:
    """One score: its path, what it tells, where it stands among all from 0 to 1, and its end."""

    path: str
    title: str
    share: float
    end: tuple[float, float]
    is_best: bool


@dataclass(frozen=True)
class Parallel:
    """A drawing; of its strands the best are the last, on top."""

    rails: tuple[Rail, ...]
    strands: tuple[Strand, ...]

    @property
    def width(self) -> float:
        """Of the drawing."""
        return self.rails[-1].x + LEFT


def parallel(columns: Sequence[Column], titles: Sequence[str], best: Sequence[bool]) -> Parallel:
    """A drawing of scores.

    Args:
        columns: the last holds the scores themselves.
        titles: what each score tells on hover.
        best: whether each is of the best.
    """
    heights = [_heights(column) for column in columns]
    rails = [
        Rail(column.name, LEFT + STEP * i, _ticks(column, ys))
        for i, (column, ys) in enumerate(zip(columns, heights, strict=True))
    ]
    strands = []
    for which, (title, is_best) in enumerate(zip(titles, best, strict=True)):
        points = [(rail.x, ys[which]) for rail, ys in zip(rails, heights, strict=True)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        share = (BOTTOM - points[-1][1]) / (BOTTOM - TOP)
        strands.append(Strand(path, title, share, points[-1], is_best))
    strands.sort(key=lambda strand: (strand.is_best, strand.share))
    return Parallel(tuple(rails), tuple(strands))


def _heights(column: Column) -> list[float]:
    """The place of each value: by its size where all are numbers, else evenly, as they come."""
    sizes = [_size(value, log=column.log) for value in column.values]
    if any(size is None for size in sizes):
        order = {value: float(-i) for i, value in enumerate(dict.fromkeys(column.values))}
        sizes = [order[value] for value in column.values]
    known = [size for size in sizes if size is not None]
    low, high = min(known), max(known)
    shares = [(size - low) / (high - low) if high > low else 0.5 for size in known]
    return [BOTTOM - share * (BOTTOM - TOP) for share in shares]


def _size(value: float | str, *, log: bool) -> float | None:
    plain = plain_number(value)
    if plain is None or not math.isfinite(plain) or (log and plain <= 0):
        return None
    return math.log10(plain) if log else float(plain)


def _ticks(column: Column, heights: Sequence[float]) -> tuple[tuple[float, str], ...]:
    """At its values, or some of many, apart by a line of text; the highest and the lowest first."""
    places = sorted(dict(zip(heights, column.values, strict=True)).items())
    wanted = places if len(places) <= _MAX_TICKS else [places[0], places[-1]]
    ticks: list[tuple[float, str]] = []
    for y, value in [wanted[0], wanted[-1], *wanted[1:-1]]:
        if all(abs(y - other) >= _TICK_ROOM for other, _ in ticks):
            ticks.append((y, value if isinstance(value, str) else number(value)))
    return tuple(sorted(ticks))
