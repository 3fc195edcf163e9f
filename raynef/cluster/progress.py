"""One line of progress on stderr, every two seconds; the same for ``raynef status`` to read.

Where there is a display, such as a terminal, the line is drawn there at each step instead; the log
of the job has it every two seconds in any case.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from raynef.cluster.metrics import record
from raynef.core.amounts import clock
from raynef.io.display import DRAWN, Line, display_here
from raynef.io.state import State, StateWriter

logger = logging.getLogger("raynef")

_EVERY_S = 2.0
_IMAGES = {"images", "views"}
"""Units whose rate is one of images; a view is an image as it enters the network."""


class Progress:
    """Counts what is done of a total, and says how fast and how long still.

    Args:
        what: the job's name.
        total: items to do.
        unit: of an item.
        facts: that ``state.json`` has besides.
    """

    def __init__(
        self, what: str, total: int, unit: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.started = self._said = time.monotonic()
        self._state = StateWriter(what, total, unit, facts)
        self._display, self._is_drawn = display_here(), False
        self.restart_at(0)

    def advance(self, count: int, note: str = "", facts: Mapping[str, Any] | None = None) -> None:
        """``count`` more are done; says so if it is time, with a note, and keeps the facts."""
        self.done += count
        now = time.monotonic()
        if self._first is None:  # rates leave out the start-up
            self._first = (now, self.done)
        drawn = self._draw(note)
        if now - self._said >= _EVERY_S or self.done >= self.total:
            self._said, rate = now, self.rate()
            if self.unit in _IMAGES:
                record("raynef_images_per_second", rate, stage=self.what)
            words = f"{self.what}: {self.done}/{self.total} {self.unit}"
            if rate:
                left = clock((self.total - self.done) / rate)
                words += f", {rate:.1f} {self.unit}/s, {left} left"
            extra = {DRAWN: drawn}
            logger.info("%s%s", words, f"  {note}" if note else "", extra=extra)
            self._state.note(self.done, rate, facts)

    def restart_at(self, done: int) -> None:
        """Count on from ``done``: the work resumed, or fell back to its last checkpoint."""
        self.done = done
        self._first: tuple[float, int] | None = None
        self._state.note(done, 0.0)
        self._draw("")

    def rate(self) -> float:
        """Items a second since the first was done (start-up left out); 0 where unknown."""
        if self._first is None or self.done == self._first[1]:
            return 0.0
        seconds = time.monotonic() - self._first[0]
        return (self.done - self._first[1]) / seconds if seconds > 0 else 0.0

    def close(self) -> None:
        """Say the last word."""
        self.end()
        seconds = time.monotonic() - self.started
        logger.info("%s: %d %s in %s", self.what, self.done, self.unit, clock(seconds))

    def end(self) -> None:
        """Draw it no more, where it ends before its total."""
        if self._display is not None and self._is_drawn:
            self._display.end(self)
            self._is_drawn = False

    def _draw(self, note: str) -> bool:
        """Whether a display has it; what is done has a line of the log too."""
        over = self.done >= self.total
        if self._display is None or (over and not self._is_drawn):
            return False
        rate = self.rate() or None
        left = (self.total - self.done) / rate if rate else None
        state = State(self.what, self.done, self.total, self.unit, rate=rate, eta_s=left)
        self._is_drawn = self._display.show(self, Line(state, note))
        if over:
            self.end()
        return self._is_drawn
