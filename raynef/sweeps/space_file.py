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
import itertools
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


def _require(holds: object, message: str) -> None:
    if not holds:
        raise UserError(message)


# ------------------------------------------------------------------------- the value of each key


def _mapping(value: Any, key: str, source: str) -> dict[str, Any]:
    found = value or {}
    _require(isinstance(found, dict), f"{source}: {key} must be a mapping, got {found!r}")
    return found


def _text(value: Any, key: str, source: str) -> str:
    is_text = isinstance(value, str) and value
    _require(is_text, f"{source}: {key} must be a text, got {value!r}")
    return value


def _names(
    allowed: Callable[[], Collection[str]] | None = None, *, may_be_empty: bool = False
) -> Callable[[Any, str, str], tuple[str, ...]]:
    """Reads a list of names, of those that are allowed."""

    def read(names: Any, key: str, source: str) -> tuple[str, ...]:
        are_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
        _require(are_names, f"{source}: {key} must be a list of names, got {names!r}")
        _require(names or may_be_empty, f"{source}: {key} is empty")
        known = allowed() if allowed is not None else names
        for name in names:
            _require(name in known, f"{source}: {key}: {name!r} is none of {', '.join(known)}")
        return tuple(names)

    return read


def _values(entries: Any, key: str, source: str) -> tuple[Mapping[str, Any], ...]:
    are_mappings = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
    _require(are_mappings, f"{source}: {key} must be a list of mappings, got {entries!r}")
    return tuple(entries)


def _axes(value: Any, key: str, source: str) -> tuple[Axis, ...]:
    return tuple(_axis(*axis, source) for axis in _mapping(value, key, source).items())


def _axis(key: Any, spec: Any, source: str) -> Axis:
    name = f"{source}: axis {key}"
    one = isinstance(spec, dict) and len(spec) == 1
    _require(one, f"{name} must be a word and its values, as {{grid: [1, 2]}}; got {spec!r}")
    ((drawn, values),) = spec.items()
    known = ("grid", *_DRAWN)
    _require(drawn in known, f"{name}: {drawn!r} is none of {', '.join(known)}")
    some = isinstance(values, list) and values
    _require(some, f"{name} is empty: {drawn} needs a list of values, got {values!r}")
    count = _DRAWN.get(drawn)
    if count is not None:
        fit = len(values) == count and all(map(_is_number, values))
        _require(fit, f"{name}: {drawn} takes {count} numbers, got {values!r}")
        values = [float(value) if isinstance(value, str) else value for value in values]
        ordered = drawn == "randn" or values[0] < values[1]
        _require(ordered, f"{name}: {drawn} must go from low to high, got {values!r}")
        positive = "log" not in drawn or values[0] > 0
        _require(positive, f"{name}: {drawn} must start above 0, got {values!r}")
    unique = drawn != "grid" or len(set(map(repr, values))) == len(values)
    _require(unique, f"{name}: a value stands twice in {values!r}")
    return Axis(str(key), drawn, tuple(values))


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
    _require(drawn, f"{source}: search is set, but no axis is drawn (all are grid)")
    require_keys(values, {field.name for field in fields(Search)}, source=f"{source}: search")
    for name, least in (("num_samples", 1), ("grace_epochs", 1), ("reduction", 2)):
        value = values.get(name, least)
        whole = type(value) is int and value >= least
        _require(whole, f"{source}: search.{name} must be a whole number >= {least}")
    for name, choices in {k: get_args(v) for k, v in get_type_hints(Search).items()}.items():
        fits = not choices or values.get(name, choices[0]) in choices
        _require(fits, f"{source}: search.{name} must be one of {', '.join(choices)}")
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
    source = space.source
    spectral = [method for method in space.methods if METHODS[method].is_spectral]
    others = [method for method in space.methods if method not in spectral]
    _require(
        not spectral or not others,
        f"{source}: methods: {', '.join(spectral)} train nothing and share no trial with "
        f"{', '.join(others)}; make a space of each kind",
    )
    for method, metric in itertools.product(space.methods, space.metrics):
        given = METHODS[method].metrics
        gives = f"{source}: metrics: {method} gives {', '.join(given)}, not {metric}"
        _require(metric in given, gives)
    named = ", ".join(space.methods)
    _require(space.metrics, f"{source}: methods: {named} have no metric in common")
    if not spectral:
        return
    for key in ("search", "targets", "clusters"):
        refused = f"{source}: {key} is not for spectral methods; leave it out"
        _require(not getattr(space, key), refused)
    method = METHODS[spectral[0]]
    for name in map(str, (*space.fields, *(axis.key for axis in space.axes))):
        _require(
            method.sees_field(name),
            f"{source}: spectral methods see nothing of {name}; they see fields of "
            f"{', '.join(method.sees)}",
        )


def _check_fields(space: Space) -> None:
    """That every field exists and takes the values that it is given."""
    source, known = space.source, space.clusters in (None, "classes")
    _require(known, f"{source}: clusters must be classes, got {space.clusters!r}")
    base = override(Recipe(), space.fields, source=source)
    for axis in space.axes:
        _require(axis.key not in space.fields, f"{source}: {axis.key} is both an axis and set")
        free = axis.key not in ("train.seed", "train.store", "data.name", "data.root")
        _require(free, f"{source}: {axis.key} is no axis: sweeps choose it themselves")
        listed = axis.values if axis.is_listed else axis.values[:1]
        if axis.distribution in ("randint", "qrandint", "lograndint"):
            listed = (int(axis.values[0]),)
        for value in listed:
            with_point(base, {axis.key: value}, source=source)


def _check_table(space: Space) -> None:
    """That rows, columns and the paper's values speak of what the space has."""
    source, columns = space.source, space.columns
    axes = {axis.key: axis for axis in space.axes}
    known = {"data", "target", "method", "metric", *axes}
    for name in (*space.rows, columns):
        apart = f"told apart by {', '.join(sorted(known))}; got {name!r}"
        _require(name in known, f"{source}: rows and columns are {apart}")
    _require(columns not in space.rows, f"{source}: {columns} is in rows and in columns")
    for entry in space.values:
        for metric in METRICS if columns in axes else ():
            listed, wanted = entry.get(metric), len(axes[columns].values)
            _require(
                not isinstance(listed, list) or len(listed) == wanted,
                f"{source}: values: {metric} must be {wanted} numbers, one for each {columns}; "
                f"got {listed!r}",
            )
        for key in entry:
            _require(key in known | set(METRICS), f"{source}: values: unknown key {key}")
