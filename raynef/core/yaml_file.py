"""YAML files that users write: read, and their keys checked."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from raynef.core.errors import UserError


def read_yaml(path: str | Path, *, source: str) -> Any:
    """What a file holds. Raises UserError where it cannot be read or is not YAML."""
    try:
        return parse_yaml(Path(path).read_text(encoding="utf-8"), source=source)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source} cannot be read: {error}") from error


def parse_yaml(text: str, *, source: str) -> Any:
    """What a text holds. Raises UserError where it is not YAML."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{source} is not YAML: {error}") from error


def require_keys(values: Any, allowed: Iterable[str], *, source: str) -> None:
    """Raise UserError unless ``values`` is a mapping that has no other keys than these."""
    allowed = sorted(allowed)
    if not isinstance(values, dict):
        raise UserError(f"{source} must be a mapping, got {values!r}")
    for key in values:
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, n=1)
            guess = f"; did you mean {near[0]}?" if near else "."
            raise UserError(f"{source}: unknown key {key}{guess} Allowed: {', '.join(allowed)}")


def whole_numbers(values: Any, key: str, *, source: str) -> tuple[int, ...]:
    """A list of whole numbers, or UserError."""
    if not isinstance(values, list) or not values or not all(type(v) is int for v in values):
        raise UserError(f"{source}: {key} must be a list of whole numbers, got {values!r}")
    return tuple(values)
