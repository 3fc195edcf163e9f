"""A terminal: lines of the log, and below them one live line for each job that is at work."""

import logging
import threading
from typing import TYPE_CHECKING, TextIO

from raynef.io.display import DRAWN, Line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

_PER_SECOND = 8  # times that the lines are drawn


class Terminal(logging.StreamHandler[TextIO]):
    """Handler of the log that is a ``Display`` too; rich is loaded with the first live line.

    While something is drawn, what others write to stdout and stderr goes above it. A terminal that
    cannot move its cursor (``TERM=dumb``) has the log alone.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: dict[object, Line] = {}
        self._console: Console | None = None
        self._live: Live | None = None
        self._drawing = threading.RLock()

    def show(self, job: object, line: Line) -> bool:
        from rich.console import Console
        from rich.live import Live

        with self._drawing:
            if self._console is None:
                self._console = Console(file=self.stream)
            if not self._console.is_terminal or self._console.is_dumb_terminal:
                return False
            self._lines[job] = line
            if self._live is None:
                self._live = Live(
                    console=self._console,
                    get_renderable=self._drawn,
                    refresh_per_second=_PER_SECOND,
                    transient=True,
                )
                self._live.start()
        return True

    def end(self, job: object) -> None:
        with self._drawing:
            self._lines.pop(job, None)
            if not self._lines:
                self.clear()

    def clear(self) -> None:
        with self._drawing:
            self._lines.clear()
            live, self._live = self._live, None
            if live is not None:
                live.stop()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, DRAWN, False):
            return
        with self._drawing:
            if self._live is None:
                super().emit(record)
                return
            from rich.text import Text

            try:
                self._live.console.print(Text(self.format(record)), soft_wrap=True)
            except Exception:  # noqa: BLE001 - as of any handler
                self.handleError(record)

    def _drawn(self) -> "RenderableType":
        from rich.console import Group

        from raynef.report.live_line import LiveLine

        return Group(*(LiveLine(line) for line in list(self._lines.values())))
