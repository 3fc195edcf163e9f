"""A space of recipes: a YAML file in tune_spaces, one for each table of the paper.

    title: The trade-off α
    paper: Table 6 of arXiv:2304.02841
    axes:
      graph.alpha: {grid: [0, 0.1, 0.3]}
    methods: [ours]
    metrics: [miou]
    rows: [data]
    columns: graph.alpha
    values:                                # the paper's, in percent, along the columns
      - {data: pascal_context, miou: [38.6, 37.9, 38.8]}

An axis is a recipe field by its dotted name, or ``backbone``, whose values are presets. Its values
are listed (``grid``: all of them), or drawn (``choice``, ``uniform``, … in the words of Ray Tune).
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any, Literal, get_args

from raynef.config.overrides import override
from raynef.config.presets import preset_names, with_presets
from raynef.config.recipe import Recipe
from raynef.config.yaml_file import parse_yaml, read_yaml, require_keys, whole_numbers
from raynef.core.errors import UserError
from raynef.sweeps.catalog import METHODS, METRICS, METRICS_OF, SECTIONS, SPECTRAL, metrics_of_all

BACKBONE = "backbone"
"""The axis whose values are presets of backbones, or .yaml files with such a section."""
_DRAWN = {
    "choice": None,
    "uniform": 2,
    "quniform": 3,
    "loguniform": 2,
    "qloguniform": 3,
    "randint": 2,
    "qrandint": 3,
    "lograndint": 2,
    "randn": 2,
}
"""Tune's words for distributions, and how many numbers each takes; None for a list of values."""
INCOMPARABLE = (
    "eigen.num_eigenfunctions",
    "graph.alpha",
    "graph.num_neighbors",
    "graph.pixel_neighbors",
)
"""Axes across which the objective compares no runs: it is larger for fewer eigenfunctions, and for
a graph that falls apart more easily, however good the segments are."""
_KEYS = {
    "title",
    "paper",
    "paper_leaked",
    "paper_crf",
    "set",
    "axes",
    "clusters",
    "data",
    "presets",
    "targets",
    "methods",
    "metrics",
    "rows",
    "columns",
    "seeds",
    "values",
    "search",
}


@dataclass(frozen=True)
class Axis:
    """One axis of a space.

    Attributes:
        key: a recipe field by its dotted name, or ``backbone``.
        word: grid, or how values are drawn.
        values: of grid and choice; the numbers of any other word.
    """

    key: str
    word: str
    values: tuple[Any, ...]

    @property
    def of_scoring(self) -> bool:
        """Whether it changes nothing but the evaluation, so that one training serves all of it."""
        return self.key.startswith("evaluate.")


@dataclass(frozen=True)
class Search:
    """How a space with drawn axes is searched.

    Attributes:
        num_samples: points that are drawn.
        algorithm: random, or optuna (its own sampler learns from what is done).
        scheduler: asha stops trials that lag behind; none trains all to the end.
        metric: what is maximized: ``objective``, which needs no label, or ``miou`` on the
            validation split: then LABELS steer the search.
        grace_epochs: that every trial trains before asha may stop it.
        reduction: of the trials at a rung of asha, one in so many goes on.
    """

    num_samples: int = 16
    algorithm: Literal["random", "optuna"] = "random"
    scheduler: Literal["asha", "none"] = "asha"
    metric: Literal["objective", "miou"] = "objective"
    grace_epochs: int = 2
    reduction: int = 3


@dataclass(frozen=True)
class Space:
    """A space as its file says; see the module.

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
        return all(method in SPECTRAL for method in self.methods)

    def axis(self, key: str) -> Axis:
        """The axis of a key."""
        return next(axis for axis in self.axes if axis.key == key)

    def plain(self) -> dict[str, Any]:
        """As plain values, for the record of a sweep."""
        return json.loads(json.dumps(asdict(self)))


def space_names() -> list[str]:
    """The spaces that come with the package."""
    files = (resources.files("raynef") / "tune_spaces").iterdir()
    return sorted(p.name.removesuffix(".yaml") for p in files if p.name.endswith(".yaml"))


def read_space(name: str) -> Space:
    """A space from a .yaml file, or by name from the package.

    Raises:
        UserError: no such space, or an unknown key, an empty axis or an impossible value, named.
    """
    source = f"space {name}"
    values = _values_of(name, source)
    axes = tuple(_axis(key, spec, source) for key, spec in _mapping(values, "axes", source).items())
    fields = _mapping(values, "set", source)
    search = _search(values.get("search"), axes, source)
    methods = _names(values, "methods", ("ours",), source, allowed=METHODS)
    space = Space(
        source=source,
        title=_text(values.get("title"), "title", source),
        paper=_text(values["paper"], "paper", source) if "paper" in values else None,
        paper_leaked=values.get("paper_leaked") is True,
        paper_crf=values.get("paper_crf") is True,
        fields=fields,
        axes=axes,
        clusters=values.get("clusters"),
        data=_names(values, "data", (), source, allowed=preset_names()),
        presets=_mapping(values, "presets", source),
        targets=_names(values, "targets", (), source, allowed=preset_names()),
        methods=methods,
        metrics=_names(values, "metrics", metrics_of_all(methods), source, allowed=METRICS),
        rows=_names(values, "rows", ("method",), source),
        columns=_text(values.get("columns", "metric"), "columns", source),
        seeds=whole_numbers(values.get("seeds", [0]), "seeds", source=source),
        values=_values(values.get("values", []), source),
        search=search,
    )
    _check_methods(space)
    _check_fields(space)
    _check_table(space)
    return space


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


def _values_of(name: str, source: str) -> dict[str, Any]:
    if name.endswith((".yaml", ".yml")):
        values = read_yaml(name, source=source)
    elif name in space_names():
        file = resources.files("raynef") / f"tune_spaces/{name}.yaml"
        values = parse_yaml(file.read_text(encoding="utf-8"), source=source)
    else:
        near = difflib.get_close_matches(name, space_names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise UserError(
            f"{name!r} is neither a .yaml file nor a space of raynef{hint} There are "
            f"{', '.join(space_names())}"
        )
    require_keys(values, _KEYS, source=source)
    return values


def _mapping(values: dict[str, Any], key: str, source: str) -> dict[str, Any]:
    found = values.get(key) or {}
    if not isinstance(found, dict):
        raise UserError(f"{source}: {key} must be a mapping, got {found!r}")
    return found


def _text(value: Any, key: str, source: str) -> str:
    if not isinstance(value, str) or not value:
        raise UserError(f"{source}: {key} must be a text, got {value!r}")
    return value


def _names(
    values: dict[str, Any],
    key: str,
    default: Sequence[str],
    source: str,
    *,
    allowed: Mapping[str, Any] | Sequence[str] | None = None,
) -> tuple[str, ...]:
    names = values.get(key, list(default))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{source}: {key} must be a list of names, got {names!r}")
    if not names and default:
        raise UserError(f"{source}: {key} is empty")
    for name in names:
        if allowed is not None and name not in allowed:
            raise UserError(f"{source}: {key}: {name!r} is none of {', '.join(allowed)}")
    return tuple(names)


def _values(entries: Any, source: str) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{source}: values must be a list of mappings, got {entries!r}")
    return tuple(entries)


def _axis(key: Any, spec: Any, source: str) -> Axis:
    name = f"{source}: axis {key}"
    if not isinstance(spec, dict) or len(spec) != 1:
        raise UserError(f"{name} must be a word and its values, as {{grid: [1, 2]}}; got {spec!r}")
    ((word, values),) = spec.items()
    if word != "grid" and word not in _DRAWN:
        raise UserError(f"{name}: {word!r} is none of grid, {', '.join(_DRAWN)}")
    if not isinstance(values, list) or not values:
        raise UserError(f"{name} is empty: {word} needs a list of values, got {values!r}")
    count = None if word == "grid" else _DRAWN[word]
    if count is not None:
        if len(values) != count or not all(_is_number(value) for value in values):
            raise UserError(f"{name}: {word} takes {count} numbers, got {values!r}")
        values = [float(value) if isinstance(value, str) else value for value in values]
        if word != "randn" and not values[0] < values[1]:
            raise UserError(f"{name}: {word} must go from low to high, got {values!r}")
        if "log" in word and values[0] <= 0:
            raise UserError(f"{name}: {word} must start above 0, got {values!r}")
    if word == "grid" and len({repr(value) for value in values}) < len(values):
        raise UserError(f"{name}: a value stands twice in {values!r}")
    return Axis(str(key), word, tuple(values))


def _is_number(value: Any) -> bool:
    if isinstance(value, str):  # YAML 1.1 reads 1e-3, without a point, as text
        try:
            float(value)
        except ValueError:
            return False
        return True
    return isinstance(value, int | float) and not isinstance(value, bool)


def _search(values: Any, axes: Sequence[Axis], source: str) -> Search | None:
    drawn = [axis.key for axis in axes if axis.word != "grid"]
    if values is None:
        return Search() if drawn else None
    if not drawn:
        raise UserError(f"{source}: search is set, but no axis is drawn (all are grid)")
    allowed = {field.name for field in Search.__dataclass_fields__.values()}
    require_keys(values, allowed, source=f"{source}: search")
    for name, kind in (("num_samples", 1), ("grace_epochs", 1), ("reduction", 2)):
        value = values.get(name, kind)
        if type(value) is not int or value < kind:
            raise UserError(f"{source}: search.{name} must be a whole number >= {kind}")
    hints = Search.__annotations__
    for name in ("algorithm", "scheduler", "metric"):
        choices = get_args(hints[name])
        if values.get(name, choices[0]) not in choices:
            raise UserError(f"{source}: search.{name} must be one of {', '.join(choices)}")
    return Search(**values)


def _check_methods(space: Space) -> None:
    """That methods fit one another, their metrics, and what else the space asks for."""
    spectral = [method for method in space.methods if method in SPECTRAL]
    if spectral and not space.is_spectral:
        others = [method for method in space.methods if method not in SPECTRAL]
        raise UserError(
            f"{space.source}: methods: {', '.join(spectral)} train nothing and share no trial with "
            f"{', '.join(others)}; make a space of each kind"
        )
    for method, metric in ((m, metric) for m in space.methods for metric in space.metrics):
        if metric not in METRICS_OF[method]:
            raise UserError(
                f"{space.source}: metrics: {method} gives {', '.join(METRICS_OF[method])}, not "
                f"{metric}"
            )
    if not space.metrics:
        raise UserError(
            f"{space.source}: methods: {', '.join(space.methods)} have no metric in common"
        )
    if not spectral:
        return
    for key, value in (
        ("search", space.search),
        ("targets", space.targets),
        ("clusters", space.clusters),
    ):
        if value:
            raise UserError(f"{space.source}: {key} is not for spectral methods; leave it out")
    for name in (*space.fields, *(axis.key for axis in space.axes)):
        if str(name).partition(".")[0] not in SECTIONS:
            raise UserError(
                f"{space.source}: spectral methods see nothing of {name}; they see fields of "
                f"{', '.join(SECTIONS)}"
            )


def _check_fields(space: Space) -> None:
    """That every field exists and takes the values that it is given."""
    if space.clusters not in (None, "classes"):
        raise UserError(f"{space.source}: clusters must be classes, got {space.clusters!r}")
    base = override(Recipe(), space.fields, source=space.source)
    for axis in space.axes:
        if axis.key in space.fields:
            raise UserError(f"{space.source}: {axis.key} is both an axis and set")
        if axis.key in ("train.seed", "train.store", "data.name", "data.root"):
            raise UserError(f"{space.source}: {axis.key} is no axis: sweeps choose it themselves")
        listed = axis.values if axis.word in ("grid", "choice") else axis.values[:1]
        if axis.word in ("randint", "qrandint", "lograndint"):
            listed = (int(axis.values[0]),)
        for value in listed:
            with_point(base, {axis.key: value}, source=space.source)


def _check_table(space: Space) -> None:
    """That rows, columns and the paper's values speak of what the space has."""
    known = {"data", "target", "method", "metric", *(axis.key for axis in space.axes)}
    for name in (*space.rows, space.columns):
        if name not in known:
            raise UserError(
                f"{space.source}: rows and columns are told apart by {', '.join(sorted(known))}; "
                f"got {name!r}"
            )
    if space.columns in space.rows:
        raise UserError(f"{space.source}: {space.columns} is in rows and in columns")
    if space.columns in {axis.key for axis in space.axes}:
        num_columns = len(space.axis(space.columns).values)
        for entry in space.values:
            for metric in METRICS:
                listed = entry.get(metric)
                if isinstance(listed, list) and len(listed) != num_columns:
                    raise UserError(
                        f"{space.source}: values: {metric} must be {num_columns} numbers, one for "
                        f"each {space.columns}; got {listed!r}"
                    )
    for entry in space.values:
        for key in entry:
            if key not in known | set(METRICS):
                raise UserError(f"{space.source}: values: unknown key {key}")
