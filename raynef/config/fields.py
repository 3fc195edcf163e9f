"""What stands with a recipe field, in its ``Annotated`` type: its rule, its cache keys, marks.

``epochs: Count = 40`` and its docstring are all of a field: the check, the flag with its help, the
entry in YAML files and tables, and the part in cache keys are read from there.
"""

import dataclasses
import json
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter, ge, le
from typing import Annotated, Any

from raynef.core.errors import require

FREE = "may change in the folder of a run that is begun"
"""Mark of a field that does not shape what a run's folder holds: what is trained is the same, but
for rounding. It says what may go wrong, where and how wide it runs, or how it is scored later."""
INFINITE = "may be infinite"
"""Mark of a number that may; any other is checked to be finite."""
KEYS = {
    "views": "features of training views: raynef.stores.features.store_key",
    "images": "features of whole images: raynef.jobs.spectral.features.features_key",
    "eigenpairs": "eigenpairs of each image: raynef.jobs.spectral.eigen.eigen_key",
    "segments": "segments of each image: raynef.jobs.spectral.segments.segments_key",
    "cuts": "segments that are cut by eigenvectors: likewise",
}
"""Cache keys that fields are part of, and where they are made."""


@dataclass(frozen=True)
class Key:
    """The field is part of a cache key.

    Attributes:
        of: the key, one of ``KEYS``.
        always: at its default too. A field that comes later is left out there, so that what was
            cached before it came is found again.
        alias: its name in the key, where that is not the field's own.
    """

    of: str
    always: bool = False
    alias: str = ""

    def __post_init__(self) -> None:
        if self.of not in KEYS:
            raise ValueError(f"{self.of!r} is no cache key; there are {', '.join(KEYS)}")


@dataclass(frozen=True)
class Rule:
    """What a value must be; None is always allowed where it is the default.

    Attributes:
        words: for the error, after "must be"; ``{}`` in them is the other field's value.
        holds: whether a value is so; given the other field's value too, where there is one.
        other: dotted name of the field that it is compared with.
    """

    words: str
    holds: Callable[..., bool]
    other: str = ""


def at_least(low: float) -> Rule:
    return Rule(f">= {low}", lambda value: value >= low)


def above(low: float) -> Rule:
    return Rule(f"> {low}", lambda value: value > low)


def at_most_field(other: str, why: str) -> Rule:
    return Rule(f"<= {other} = {{}}, {why}", le, other)


def at_least_field(other: str) -> Rule:
    return Rule(f">= {other} = {{}}", ge, other)


Count = Annotated[int, at_least(1)]
Positive = Annotated[float, above(0)]
Share = Annotated[float, Rule("in [0, 1]", lambda value: 0 <= value <= 1)]
_PAIRS = Rule("pairs (k >= 1, weight >= 0)", lambda v: all(k >= 1 and w >= 0 for k, w in v))
Neighbors = Annotated[tuple[tuple[int, float], ...], _PAIRS]


@dataclass(frozen=True)
class Setting:
    """A field as it is declared: dotted name, plain type, default, and what is annotated."""

    name: str
    type: Any
    default: Any
    notes: tuple[Any, ...]

    def in_keys(self) -> dict[str, str]:
        """The cache keys that it is part of, and its name in each."""
        short = self.name.rpartition(".")[2]
        return {note.of: note.alias or short for note in self.notes if isinstance(note, Key)}


@cache
def settings(kind: type) -> tuple[Setting, ...]:
    """The fields of a dataclass, and of the dataclasses within it."""
    found: list[Setting] = []
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.type):
            inner = settings(typing.cast(type, field.type))
            found += [dataclasses.replace(s, name=f"{field.name}.{s.name}") for s in inner]
        else:
            notes = getattr(field.type, "__metadata__", ())
            plain = typing.get_args(field.type)[0] if notes else field.type
            found.append(Setting(field.name, plain, field.default, notes))
    return tuple(found)


def check_fields(values: Any) -> None:
    """Raise UserError that names the field, the rule and the value, unless every rule holds.

    Rules between two fields come last: each of the two is then possible by itself.
    """
    compared = []
    for setting in settings(type(values)):
        value = attrgetter(setting.name)(values)
        if INFINITE not in setting.notes:
            require(_finite(value), setting.name, "finite", value)
        for rule in setting.notes:
            if isinstance(rule, Rule) and rule.other:
                compared.append((setting.name, value, rule))
            elif isinstance(rule, Rule):
                words = rule.words + (", or none" if setting.default is None else "")
                require(value is None or rule.holds(value), setting.name, words, value)
    for name, value, rule in compared:
        other = attrgetter(rule.other)(values)
        require(rule.holds(value, other), name, rule.words.format(other), value)


def _finite(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def in_key(values: Any, of: str) -> dict[str, Any]:
    """The fields of a recipe, or of a section, that are part of a cache key, as plain values."""
    found = {}
    for setting in settings(type(values)):
        value = attrgetter(setting.name)(values)
        for key in setting.notes:
            there = isinstance(key, Key) and key.of == of
            if there and (key.always or value != setting.default):
                found[setting.in_keys()[of]] = value
    return json.loads(json.dumps(found))
