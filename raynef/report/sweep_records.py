"""What the report of a sweep is made of. Plain values, as ``records`` holds them for a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from raynef.report.ablation import Grid
from raynef.report.parallel import Parallel


@dataclass(frozen=True)
class AxisPoint:
    """Scores at one value of an axis: one for each seed, 0 to 1."""

    at: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class AxisLine:
    """Scores along an axis."""

    name: str  # in the legend
    points: tuple[AxisPoint, ...]  # in any order
    paper: "AxisLine | None" = None  # the paper's scores at the same places; None where it has none


@dataclass(frozen=True)
class AxisPlot:
    """One metric over one axis."""

    axis: str
    metric: str  # its name; values are drawn in percent
    lines: tuple[AxisLine, ...]  # one for each method and data set
    ticks: tuple[float, ...] = ()  # values that the axis can take; none of a range
    log: bool = False  # whether the axis is logarithmic
    joined: bool = True  # points are joined to lines; a search has dots instead


@dataclass(frozen=True)
class Curve:
    """A trial's training: one mapping for each step, as ``steps.jsonl`` has them."""

    name: str
    steps: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class TrialMap:
    """What one trial found in an image: int [H, W], classes (-1: none) or else clusters."""

    name: str
    index: np.ndarray
    classes: bool


@dataclass(frozen=True)
class SweepImage:
    """One validation image, uint8 [H, W, 3], with what several trials found in it."""

    name: str
    image: np.ndarray
    maps: tuple[TrialMap, ...]

    def __post_init__(self) -> None:
        for found in self.maps:
            if found.index.shape != self.image.shape[:2]:
                raise ValueError(
                    f"sweep image {self.name!r}: the map of {found.name} must be [H, W] = "
                    f"{list(self.image.shape[:2])} as the image, got {list(found.index.shape)}"
                )


@dataclass(frozen=True)
class TrialScore:
    """One score of a trial: what was scored, metrics 0 to 1, and the run's folder."""

    name: str
    values: Mapping[str, float]
    run: str
    leaked: bool = False


@dataclass(frozen=True)
class TrialEntry:
    """A trial in the list of all."""

    name: str  # of its folder
    about: str  # short, for people
    state: str  # done, failed, damaged, stopped …, not finished or not run
    scores: tuple[TrialScore, ...] = ()
    seconds: float | None = None  # that it took, with scoring; None where that is not known
    error: str | None = None  # why it failed

    @property
    def has_failed(self) -> bool:
        """Whether it needs someone to look at it."""
        return self.state in ("failed", "damaged")


@dataclass(frozen=True)
class Best:
    """The best point of a sweep on one data set.

    Attributes:
        about: what tells it from the others.
        metric: that says so; ``values`` are those of its seeds, 0 to 1.
        label_free: no label was needed to find it.
        trials: names of its trials' folders.
        run: of its first seed.
    """

    data: str
    about: str
    metric: str
    values: tuple[float, ...]
    label_free: bool
    trials: tuple[str, ...]
    run: str


@dataclass(frozen=True)
class SweepReport:
    """Everything on the page of a sweep, finished or not."""

    grid: Grid
    bests: tuple[Best, ...] = ()  # at most one for each data set
    coordinates: Parallel | None = None  # of all scores, where several things vary
    plots: tuple[AxisPlot, ...] = ()  # of the axes that are numbers
    curves: tuple[Curve, ...] = ()  # of the trials that have steps
    num_without_curve: int = 0  # trials that train but have none
    trains: bool = True  # whether its trials train at all
    images: tuple[SweepImage, ...] = ()  # rows of the gallery
    gallery_note: str | None = None  # why there are none, or fewer; None where nothing is amiss
    trials: tuple[TrialEntry, ...] = ()  # all, in the order of the sweep
    links: Mapping[str, str] = field(default_factory=dict)
    """From a score's ``run`` to what its link opens, both as seen from the page; a run that is not
    here is opened as a folder."""
