"""A space from its YAML file in tune_spaces, one for each table of the paper; see ``Space``.

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
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from importlib import resources
from typing import Any, get_args, get_type_hints

from raynef.config.overrides import override
from raynef.config.presets import preset_names
from raynef.config.recipe import Recipe
from raynef.config.yaml_file import parse_yaml, read_yaml, require_keys, whole_numbers
from raynef.core.errors import UserError
from raynef.sweeps.methods import METHODS, METRICS, metrics_of_all
from raynef.sweeps.space import Axis, Search, Space, with_point

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
"""Tune's distributions, and how many numbers each takes; None for a list of values."""


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
    values = {"title": None, **_values_of(name, source)}
    found = {
        _FIELDS.get(key, key): read(values[key], key, source)
        for key, read in _READ.items()
        if key in values
    }
    found.setdefault("metrics", metrics_of_all(found.get("methods", Space.methods)))
    found["search"] = _search(values.get("search"), found.get("axes", ()), source)
    space = Space(source, **found)
    _check_methods(space)
    _check_fields(space)
    _check_table(space)
    return space


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
    require_keys(values, {*_READ, "search"}, source=source)
    return values


# ------------------------------------------------------------------------- the value of each key


def _mapping(value: Any, key: str, source: str) -> dict[str, Any]:
    if not isinstance(value or {}, dict):
        raise UserError(f"{source}: {key} must be a mapping, got {value!r}")
    return value or {}


def _text(value: Any, key: str, source: str) -> str:
    if not isinstance(value, str) or not value:
        raise UserError(f"{source}: {key} must be a text, got {value!r}")
    return value


def _names(
    allowed: Callable[[], Collection[str]] | None = None, *, may_be_empty: bool = False
) -> Callable[[Any, str, str], tuple[str, ...]]:
    """Reads a list of names, of those that are allowed."""

    def read(names: Any, key: str, source: str) -> tuple[str, ...]:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{source}: {key} must be a list of names, got {names!r}")
        if not names and not may_be_empty:
            raise UserError(f"{source}: {key} is empty")
        known = allowed() if allowed is not None else names
        for name in names:
            if name not in known:
                raise UserError(f"{source}: {key}: {name!r} is none of {', '.join(known)}")
        return tuple(names)

    return read


def _values(entries: Any, key: str, source: str) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(f"{source}: {key} must be a list of mappings, got {entries!r}")
    return tuple(entries)


def _axes(value: Any, key: str, source: str) -> tuple[Axis, ...]:
    return tuple(_axis(*axis, source) for axis in _mapping(value, key, source).items())


def _axis(key: Any, spec: Any, source: str) -> Axis:
    name = f"{source}: axis {key}"
    if not isinstance(spec, dict) or len(spec) != 1:
        raise UserError(f"{name} must be a word and its values, as {{grid: [1, 2]}}; got {spec!r}")
    ((distribution, values),) = spec.items()
    if distribution != "grid" and distribution not in _DRAWN:
        raise UserError(f"{name}: {distribution!r} is none of grid, {', '.join(_DRAWN)}")
    if not isinstance(values, list) or not values:
        raise UserError(f"{name} is empty: {distribution} needs a list of values, got {values!r}")
    count = _DRAWN.get(distribution)
    if count is not None:
        if len(values) != count or not all(map(_is_number, values)):
            raise UserError(f"{name}: {distribution} takes {count} numbers, got {values!r}")
        values = [float(value) if isinstance(value, str) else value for value in values]
        if distribution != "randn" and not values[0] < values[1]:
            raise UserError(f"{name}: {distribution} must go from low to high, got {values!r}")
        if "log" in distribution and values[0] <= 0:
            raise UserError(f"{name}: {distribution} must start above 0, got {values!r}")
    if distribution == "grid" and len({repr(value) for value in values}) < len(values):
        raise UserError(f"{name}: a value stands twice in {values!r}")
    return Axis(str(key), distribution, tuple(values))


def _is_number(value: Any) -> bool:
    try:
        float(value)  # YAML 1.1 reads 1e-3, without a point, as text
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def _search(values: Any, axes: Sequence[Axis], source: str) -> Search | None:
    drawn = any(axis.distribution != "grid" for axis in axes)
    if values is None:
        return Search() if drawn else None
    if not drawn:
        raise UserError(f"{source}: search is set, but no axis is drawn (all are grid)")
    require_keys(values, {field.name for field in fields(Search)}, source=f"{source}: search")
    for name, least in (("num_samples", 1), ("grace_epochs", 1), ("reduction", 2)):
        value = values.get(name, least)
        if type(value) is not int or value < least:
            raise UserError(f"{source}: search.{name} must be a whole number >= {least}")
    for name, choices in {k: get_args(v) for k, v in get_type_hints(Search).items()}.items():
        if choices and values.get(name, choices[0]) not in choices:
            raise UserError(f"{source}: search.{name} must be one of {', '.join(choices)}")
    return Search(**values)


_READ: dict[str, Callable[[Any, str, str], Any]] = {
    "axes": _axes,
    "set": _mapping,
    "methods": _names(lambda: METHODS),
    "title": _text,
    "paper": _text,
    "paper_leaked": lambda value, key, source: value is True,
    "paper_crf": lambda value, key, source: value is True,
    "clusters": lambda value, key, source: value,
    "data": _names(preset_names, may_be_empty=True),
    "presets": _mapping,
    "targets": _names(preset_names, may_be_empty=True),
    "metrics": _names(lambda: METRICS),
    "rows": _names(),
    "columns": _text,
    "seeds": lambda value, key, source: whole_numbers(value, key, source=source),
    "values": _values,
}
"""How the value of each key is read, but for ``search``, which goes by the axes."""
_FIELDS = {"set": "fields"}
"""Fields of ``Space`` that have another name in a file."""


# ----------------------------------------------------------------------- what fits what


def _check_methods(space: Space) -> None:
    """That methods fit one another, their metrics, and what else the space asks for."""
    spectral = [method for method in space.methods if METHODS[method].is_spectral]
    if spectral and not space.is_spectral:
        others = [method for method in space.methods if method not in spectral]
        raise UserError(
            f"{space.source}: methods: {', '.join(spectral)} train nothing and share no trial with "
            f"{', '.join(others)}; make a space of each kind"
        )
    for method, metric in ((m, metric) for m in space.methods for metric in space.metrics):
        given = METHODS[method].metrics
        if metric not in given:
            raise UserError(
                f"{space.source}: metrics: {method} gives {', '.join(given)}, not {metric}"
            )
    if not space.metrics:
        raise UserError(
            f"{space.source}: methods: {', '.join(space.methods)} have no metric in common"
        )
    if not spectral:
        return
    for key in ("search", "targets", "clusters"):
        if getattr(space, key):
            raise UserError(f"{space.source}: {key} is not for spectral methods; leave it out")
    for name in map(str, (*space.fields, *(axis.key for axis in space.axes))):
        method = METHODS[spectral[0]]
        if not method.sees_field(name):
            raise UserError(
                f"{space.source}: spectral methods see nothing of {name}; they see fields of "
                f"{', '.join(method.sees)}"
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
        listed = axis.values if axis.is_listed else axis.values[:1]
        if axis.distribution in ("randint", "qrandint", "lograndint"):
            listed = (int(axis.values[0]),)
        for value in listed:
            with_point(base, {axis.key: value}, source=space.source)


def _check_table(space: Space) -> None:
    """That rows, columns and the paper's values speak of what the space has."""
    axes = {axis.key: axis for axis in space.axes}
    known = {"data", "target", "method", "metric", *axes}
    for name in (*space.rows, space.columns):
        if name not in known:
            raise UserError(
                f"{space.source}: rows and columns are told apart by {', '.join(sorted(known))}; "
                f"got {name!r}"
            )
    if space.columns in space.rows:
        raise UserError(f"{space.source}: {space.columns} is in rows and in columns")
    for entry in space.values:
        for metric in METRICS if space.columns in axes else ():
            listed, wanted = entry.get(metric), len(axes[space.columns].values)
            if isinstance(listed, list) and len(listed) != wanted:
                raise UserError(
                    f"{space.source}: values: {metric} must be {wanted} numbers, one for each "
                    f"{space.columns}; got {listed!r}"
                )
        for key in entry:
            if key not in known | set(METRICS):
                raise UserError(f"{space.source}: values: unknown key {key}")
