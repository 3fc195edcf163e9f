"""YAML files that users write: read, and their keys checked."""

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from raynef.core.errors import UserError

_MOST_BYTES, _MOST_NODES = 4 << 20, 100_000  # of a file that a person wrote
_ODD = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)
"""What PyYAML raises besides its own errors: impossible dates and numbers, bottomless nesting."""


def read_yaml(path: str | Path, *, source: str) -> Any:
    """What a file holds. Raises UserError where it cannot be read or is not YAML."""
    try:
        path = Path(path)
        if path.stat().st_size > _MOST_BYTES:
            raise UserError(f"{source} is larger than the {_MOST_BYTES >> 20} MiB that are read")
        return parse_yaml(path.read_text(encoding="utf-8"), source=source)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{source} cannot be read: {reason}") from error


def parse_yaml(text: str, *, source: str) -> Any:
    """What a text holds. Raises UserError where it is not YAML, or stands for too much."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return None
        if _expanded(node, {}) <= _MOST_NODES:
            return SafeConstructor().construct_document(node)
    except (yaml.YAMLError, *_ODD) as error:
        raise UserError(f"{source} is not YAML: {error or type(error).__name__}") from error
    raise UserError(
        f"{source} stands for more than {_MOST_NODES} values, aliases (*) written out; "
        "it is not read"
    )


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """Values below a node with every alias written out: a few lines may stand for billions.

    ``known`` holds those of nodes that were met; one that holds itself has no end.
    """
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = _MOST_NODES + 1  # what it counts for within itself
    count = 1
    if isinstance(node, yaml.SequenceNode):
        count += sum(_expanded(item, known) for item in node.value)
    elif isinstance(node, yaml.MappingNode):
        count += sum(_expanded(item, known) for pair in node.value for item in pair)
    known[id(node)] = count
    return count


def require_keys(values: Any, allowed: Iterable[str], *, source: str) -> None:
    """Raise UserError unless ``values`` is a mapping that has no other keys than these."""
    if not isinstance(values, dict):
        raise UserError(f"{source} must be a mapping, got {values!r}")
    require_known(values, sorted(allowed), source=source)


def require_known(
    keys: Iterable[Any], allowed: Collection[str], *, source: str, prefix: str = ""
) -> None:
    """Raise UserError that names the first key that is not allowed, and the one near it."""
    for key in keys:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, n=1)
            guess = f"; did you mean {prefix}{near[0]}?" if near else "."
            raise UserError(
                f"{source}: unknown key {prefix}{key}{guess} Allowed: {', '.join(allowed)}"
            )


def whole_numbers(values: Any, key: str, *, source: str) -> tuple[int, ...]:
    """A list of whole numbers, or UserError."""
    if not isinstance(values, list) or not values or not all(type(v) is int for v in values):
        raise UserError(f"{source}: {key} must be a list of whole numbers, got {values!r}")
    return tuple(values)
