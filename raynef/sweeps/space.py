"""A space of recipes: what a file in tune_spaces says, and a recipe at each of its points."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from raynef.config.overrides import override
from raynef.config.presets import with_presets
from raynef.config.recipe import Recipe
from raynef.sweeps.methods import METHODS

BACKBONE = "backbone"
"""The axis whose values are presets of backbones, or .yaml files with such a section."""
INCOMPARABLE = (
    "eigen.num_eigenfunctions",
    "graph.alpha",
    "graph.num_neighbors",
    "graph.pixel_neighbors",
)
"""Axes across which the objective compares no runs: it is larger for fewer eigenfunctions, and for
a graph that falls apart more easily, however good the segments are."""


@dataclass(frozen=True)
class Axis:
    """One axis of a space.

    Attributes:
        key: a recipe field by its dotted name, or ``backbone``.
        distribution: grid, or how values are drawn, in the words of Ray Tune.
        values: of grid and choice; the numbers of any other distribution.
    """

    key: str
    distribution: str
    values: tuple[Any, ...]

    @property
    def is_listed(self) -> bool:
        """Whether its values are given; else numbers that a distribution takes."""
        return self.distribution in ("grid", "choice")


_OF_EIGENFUNCTIONS = {
    f"eigen.{name}"
    for name in ("beta", "tau_start", "tau_end", "stop_gradient", "orthogonal_head", "gumbel")
}
"""Fields that no other objective reads, besides those of the graph."""


@dataclass(frozen=True)
class Search:
    """How a space with drawn axes is searched.

    Attributes:
        num_samples: points that are drawn.
        algorithm: random, or optuna (its own sampler learns from what is done).
        scheduler: asha stops trials that lag behind; none trains all to the end.
        metric: what is maximized. ``agreement`` (see ``raynef.jobs.agreement``) and ``objective``
            need no label; ``miou`` is that on the validation split: then LABELS steer the search.
        grace_epochs: that every trial trains before asha may stop it.
        reduction: of the trials at a rung of asha, one in so many goes on.
    """

    num_samples: int = 16
    algorithm: Literal["random", "optuna"] = "random"
    scheduler: Literal["asha", "none"] = "asha"
    metric: Literal["agreement", "objective", "miou"] = "objective"
    grace_epochs: int = 2
    reduction: int = 3


@dataclass(frozen=True)
class Space:
    """A space as its file says; see ``raynef.sweeps.space_file``.

    Attributes:
        source: the file, for errors.
        title: of the table.
        paper: where the values are from; None where the paper has no such table.
        paper_leaked: whether labels had leaked into the paper's Ours and Ours*.
        paper_crf: whether the paper's values are scored after a CRF.
        fields: recipe fields of every trial, under the axes and under the user's flags.
        axes: in order.
        clusters: ``classes`` where K is the data set's number of classes.
        data: presets of the data sets that the paper used.
        presets: of a data set's preset, another one to lay over it.
        targets: presets of the data sets that a trained run is scored on instead of its own.
        methods: keys of ``METHODS``, all spectral or none.
        metrics: of METRICS, each given by every method; where ``evaluate.crf`` is on, each stands
            beside itself after the CRF.
        rows: what tells the rows apart: axes, ``data``, ``target``, ``method`` or ``metric``.
        columns: what tells the columns apart: an axis or one of these.
        seeds: of the trials, unless the user gives others.
        values: the paper's: coordinates, and a number or a list along the columns by metric.
        search: how drawn axes are searched; None where there are none.
    """

    source: str
    title: str
    paper: str | None = None
    paper_leaked: bool = False
    paper_crf: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    axes: tuple[Axis, ...] = ()
    clusters: str | None = None
    data: tuple[str, ...] = ()
    presets: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("ours",)
    metrics: tuple[str, ...] = ("accuracy", "miou")
    rows: tuple[str, ...] = ("method",)
    columns: str = "metric"
    seeds: tuple[int, ...] = (0,)
    values: tuple[Mapping[str, Any], ...] = ()
    search: Search | None = None

    @property
    def is_spectral(self) -> bool:
        """Whether its methods are Deep Spectral Methods, which train nothing."""
        return all(METHODS[method].is_spectral for method in self.methods)

    @property
    def is_of_eigenfunctions(self) -> bool:
        """Whether it reproduces a table of paper 1, or varies what eigenfunctions alone have."""
        keys = [*self.fields, *(axis.key for axis in self.axes)]
        varied = any(key.startswith("graph.") or key in _OF_EIGENFUNCTIONS for key in keys)
        return not self.is_spectral and (self.paper is not None or varied)

    def axis(self, key: str) -> Axis:
        """The axis of a key."""
        return next(axis for axis in self.axes if axis.key == key)

    def plain(self) -> dict[str, Any]:
        """As plain values, for the record of a sweep."""
        axes = [{"key": a.key, "word": a.distribution, "values": a.values} for a in self.axes]
        return json.loads(json.dumps({**asdict(self), "axes": axes}))

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "Space":
        """From the record of a sweep, which an older raynef may have written."""
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in plain.items()
            if name in known
        }
        axes = [Axis(a["key"], a["word"], tuple(a["values"])) for a in values.get("axes", ())]
        search = values.get("search")
        values["search"] = None if search is None else Search(**search)
        return cls(**{"source": "sweep.json", "title": "", **values, "axes": tuple(axes)})


def with_point(recipe: Recipe, point: Mapping[str, Any], *, source: str) -> Recipe:
    """The recipe at a point: values by axis, a preset for ``backbone``.

    Raises:
        UserError: a value that does not fit its field, or no such preset.
    """
    backbone = point.get(BACKBONE)
    if backbone is not None:
        recipe = with_presets(recipe, [backbone], sections=("backbone",))
    return override(
        recipe, {key: value for key, value in point.items() if key != BACKBONE}, source=source
    )
