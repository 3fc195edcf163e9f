"""Where jobs run: what was asked for, and whether work is in this process alone by now."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal, TypeVar

T = TypeVar("T")

Place = Literal["auto", "local", "ray"]
"""In this process alone (local), on Ray, or by the size of the job (auto)."""

_PLACE: ContextVar[Place] = ContextVar("place", default="auto")
_THIS_PROCESS: ContextVar[bool] = ContextVar("this_process", default=False)


def placed(place: Place) -> contextlib.AbstractContextManager[None]:
    """Jobs within the block run there, whatever their size."""
    return _within(_PLACE, place)


def place() -> Place:
    """Where jobs run, as the innermost ``placed`` says."""
    return _PLACE.get()


def this_process() -> contextlib.AbstractContextManager[None]:
    """Work in this process and its threads, without Ray, such as a trial of a sweep does.

    The same functions do the same work in the same order; what a trial has reserved of the cluster
    is then all that it takes, so that trials cannot wait for one another.
    """
    return _within(_THIS_PROCESS, True)


def in_this_process() -> bool:
    """Whether work runs in this process alone."""
    return _THIS_PROCESS.get()


@contextlib.contextmanager
def _within(variable: ContextVar[T], value: T) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
