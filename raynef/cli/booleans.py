"""``--evaluate.crf True``, as recipes in YAML have it, beside tyro's own ``--evaluate.crf``."""

import dataclasses
from collections.abc import Sequence

from raynef.config.recipe import Recipe

_VALUES = {"true": True, "false": False}


def boolean_fields() -> frozenset[str]:
    """The boolean fields of a recipe, as flags without their dashes: ``evaluate.crf``."""
    return frozenset(
        f"{section.name}.{field.name}".replace("_", "-")
        for section in dataclasses.fields(Recipe)
        for field in dataclasses.fields(getattr(Recipe(), section.name))
        if field.type is bool
    )


def plain_flags(argv: Sequence[str]) -> list[str]:
    """The arguments with ``--X True`` as ``--X`` and ``--X False`` as its ``no-`` twin.

    Only boolean fields of the recipe take a value, as two arguments or as ``--X=True``; any other
    argument stays as it is, and so does a value that is neither.
    """
    known, plain = boolean_fields(), []
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        field = name.removeprefix("--").replace("_", "-")
        if not name.startswith("--") or field not in known:
            plain.append(argument)
            continue
        given = value if equals else rest[0] if rest else ""
        truth = _VALUES.get(given.lower())
        if truth is None:
            plain.append(argument)
            continue
        if not equals:
            rest.pop(0)
        section, _, last = field.partition(".")
        plain.append(f"--{section}.{last}" if truth else f"--{section}.no-{last}")
    return plain
