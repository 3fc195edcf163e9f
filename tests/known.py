"""Values as what a test knows them to be: the type checker believes it, a wrong one fails there."""

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """A value that may be None in general, and here is not."""
    assert value is not None
    return value


def a(kind: type[T], value: object) -> T:
    """A value of a class that is narrower than the one that is declared."""
    assert isinstance(value, kind), f"{value!r} is no {kind.__name__}"
    return value
