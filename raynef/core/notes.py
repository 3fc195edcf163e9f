"""What deep code has to say of its input, gathered for whoever can tell the user.

A file is decoded in a task, on another machine perhaps, whose log no one reads; and what holds for
a thousand files shall be said once.
"""

import contextlib
from collections.abc import Generator
from contextvars import ContextVar

_NOTES: ContextVar[set[str] | None] = ContextVar("notes", default=None)


def note(text: str) -> None:
    """Add a line to the notes of the ``noting`` block around, if there is one."""
    notes = _NOTES.get()
    if notes is not None:
        notes.add(text)


@contextlib.contextmanager
def noting() -> Generator[set[str]]:
    """Gather the notes of the block, of this thread, each once."""
    notes: set[str] = set()
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)
