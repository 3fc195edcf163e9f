"""A notebook: lines of the log, and a bar for each job, drawn anew in the output of its cell.

IPython is all that it takes, which every kernel has; rich would need ipywidgets too.
"""

import html
import importlib
import logging
import sys
import time
from typing import Any, TextIO

from raynef.io.display import DRAWN, Line

_EVERY_S = 0.25  # between two drawings of a job


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class Notebook(logging.StreamHandler[TextIO]):
    """Handler of the log that is a ``Display`` too; the bar of a job that is done stays."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._bars: dict[object, tuple[Any, float]] = {}  # IPython's handle, and when it was drawn

    def show(self, job: object, line: Line) -> bool:
        now, last = time.monotonic(), line.state.done >= line.state.total
        handle, drawn = self._bars.get(job, (None, 0.0))
        if handle is None:
            display = importlib.import_module("IPython.display").display
            handle = display(_bundle(line), raw=True, display_id=True)
        elif now - drawn >= _EVERY_S or last:
            handle.update(_bundle(line), raw=True)
        else:
            return True
        self._bars[job] = handle, now
        return True

    def end(self, job: object) -> None:
        self._bars.pop(job, None)

    def clear(self) -> None:
        self._bars.clear()

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, DRAWN, False):
            super().emit(record)


def _bundle(line: Line) -> dict[str, str]:
    """As a page shows it, and as text does."""
    state, words = line.state, "  ".join(line.words())
    bar = f'<progress value="{state.done}" max="{state.total}"></progress>'
    rows = [f"{html.escape(state.stage)} {bar} {html.escape(words)}", *map(html.escape, line.below)]
    return {"text/plain": f"{state.stage}: {words}", "text/html": "<br>".join(rows)}
