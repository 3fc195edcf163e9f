"""Where progress is drawn as it changes, besides the lines of the log: a terminal, a notebook."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from raynef.core.amounts import clock
from raynef.io.state import State

DRAWN = "drawn"
"""Attribute of a log record whose words a display shows already."""


@dataclass(frozen=True)
class Line:
    """What is drawn of a job.

    Attributes:
        state: where it stands.
        note: what else it says; its items are two spaces apart.
        below: lines of its parts.
    """

    state: State
    note: str = ""
    below: Sequence[str] = ()

    def words(self) -> list[str]:
        """Count, time left, note and rate: the more important before the less."""
        state = self.state
        words = [f"{state.done}/{state.total} {state.unit}"]
        if state.eta_s is not None:
            words.append(f"{clock(max(0.0, state.eta_s - (time.time() - state.time)))} left")
        words += [item for item in self.note.split("  ") if item]
        if state.rate is not None:
            words.append(f"{state.rate:.1f} {state.unit}/s")
        return words


class Display(Protocol):
    """Draws where jobs stand, from any thread."""

    def show(self, job: object, line: Line) -> bool:
        """Draw, or redraw, a job, known by identity; whether it can be drawn here."""
        ...

    def end(self, job: object) -> None:
        """A job is at its end, or ends before it."""
        ...

    def clear(self) -> None:
        """All of them are."""
        ...


_DISPLAY: ContextVar[Display | None] = ContextVar("display", default=None)


@contextlib.contextmanager
def drawn_on(display: Display | None) -> Iterator[None]:
    """Jobs that start within are drawn there until they end; the display is clear afterwards."""
    token = _DISPLAY.set(display)
    try:
        yield
    finally:
        _DISPLAY.reset(token)
        if display is not None:
            display.clear()


def display_here() -> Display | None:
    """That of the innermost ``drawn_on``. A job keeps it: its threads have another context."""
    return _DISPLAY.get()
