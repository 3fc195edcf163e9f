"""``--evaluate.crf True``, as recipes in YAML have it, beside tyro's own ``--evaluate.crf``."""

from collections.abc import Sequence

from raynef.config.fields import settings
from raynef.config.recipe import Recipe


def boolean_fields() -> frozenset[str]:
    """The boolean fields of a recipe, as flags without their dashes: ``evaluate.crf``."""
    return frozenset(s.name.replace("_", "-") for s in settings(Recipe) if s.type is bool)


def plain_flags(argv: Sequence[str]) -> list[str]:
    """The arguments with ``--X True`` as ``--X`` and ``--X False`` as its ``no-`` twin.

    Only boolean fields of the recipe take a value, as two arguments or as ``--X=True``; any other
    argument stays as it is, and so does a value that is neither.
    """
    known = {f"--{name}" for name in boolean_fields()}
    plain, rest = [], list(argv)
    while rest:
        argument = rest.pop(0)
        flag, equals, value = argument.partition("=")
        flag = flag.replace("_", "-")
        value = value if equals or not rest else rest[0]
        if flag in known and value.lower() in ("true", "false"):
            rest = rest if equals else rest[1:]
            argument = flag if value.lower() == "true" else flag.replace(".", ".no-")
        plain.append(argument)
    return plain
