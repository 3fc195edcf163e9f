"""Recipe fields by their dotted names, as flags and tables write them: ``train.epochs: 12``."""

from collections.abc import Mapping
from typing import Any

from raynef.config.recipe import Recipe, from_dict, to_dict
from raynef.core.errors import UserError


def override(recipe: Recipe, fields: Mapping[str, Any], *, source: str) -> Recipe:
    """The recipe with some fields replaced.

    Args:
        recipe: stays as it is.
        fields: values by dotted name.
        source: where the fields stand, for the error.

    Raises:
        UserError: a name that is no field, or a value that does not fit it.
    """
    values: dict[str, dict[str, Any]] = to_dict(recipe)
    for name, value in fields.items():
        section, dot, field = str(name).partition(".")
        if not dot:
            raise UserError(
                f"{source}: {name!r} must be a field of a section, such as train.epochs"
            )
        values.setdefault(section, {})[field] = value
    return from_dict(values, source=source)
