"""Nested plain values, as YAML and JSON have them, read into dataclasses by their types."""

import contextlib
import dataclasses
import types
import typing
from typing import Any, Literal

from raynef.config.yaml_file import require_known
from raynef.core.errors import UserError


def read_fields(kind: Any, values: Any, *, source: str, prefix: str = "") -> Any:
    """A dataclass from nested values; missing fields keep their defaults.

    Args:
        kind: the dataclass, whose fields may be dataclasses too.
        values: by field.
        source: where they stand, and ``prefix`` of the keys there, for the error.

    Raises:
        UserError: an unknown key (named with what is allowed), or a value of the wrong type.
    """
    if not isinstance(values, dict):
        raise UserError(f"{source}: {prefix or 'the recipe'} must be a mapping, got {values!r}")
    hints = typing.get_type_hints(kind)
    require_known(values, hints, source=source, prefix=prefix)
    read = {key: _read(hints[key], v, source, f"{prefix}{key}") for key, v in values.items()}
    return kind(**read)


def _read(hint: Any, value: Any, source: str, name: str) -> Any:
    """A plain value as the field's type, or UserError."""
    if dataclasses.is_dataclass(hint):
        return read_fields(hint, value, source=source, prefix=f"{name}.")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value in arguments:
            return value
        allowed = ", ".join(map(str, arguments))
        raise UserError(f"{source}: {name} must be one of {allowed}, got {value!r}")
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        (hint,) = (argument for argument in arguments if argument is not type(None))
        return _read(hint, value, source, name)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(value):
            pairs = zip(kinds, value, strict=True)
            return tuple(_read(kind, item, source, name) for kind, item in pairs)
    elif hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            return float(value)  # YAML 1.1 reads 1e-3, without a point, as text
    elif origin is None and isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    wanted = hint.__name__ if origin is None else str(hint)
    raise UserError(f"{source}: {name} must be of type {wanted}, got {value!r}")
