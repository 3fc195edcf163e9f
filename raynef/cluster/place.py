"""Where a command said that its jobs run."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal

Place = Literal["auto", "local", "ray"]
"""In this process alone (local), on Ray, or by the size of the job (auto)."""

_PLACE: ContextVar[Place] = ContextVar("place", default="auto")


@contextlib.contextmanager
def placed(place: Place) -> Iterator[None]:
    """Jobs within the block run there, whatever their size."""
    token = _PLACE.set(place)
    try:
        yield
    finally:
        _PLACE.reset(token)


def place() -> Place:
    """Where jobs run, as the innermost ``placed`` says."""
    return _PLACE.get()
