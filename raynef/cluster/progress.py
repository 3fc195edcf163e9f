"""One line of progress on stderr, every two seconds; the same for ``raynef status`` to read."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from raynef.cluster.metrics import record
from raynef.io.standing import Standing

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
        facts: that ``standing.json`` has besides.
    """

    def __init__(
        self, what: str, total: int, unit: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = 0
        self.started = self._said = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._standing = Standing(what, total, unit, facts)
        self._standing.note(0, 0.0)

    def advance(self, count: int, note: str = "", facts: Mapping[str, Any] | None = None) -> None:
        """``count`` more are done; says so if it is time, with a note, and keeps the facts."""
        self.done += count
        now = time.monotonic()
        if self._first is None:  # rates leave out the start-up
            self._first = (now, self.done)
        if now - self._said >= _EVERY_S or self.done >= self.total:
            self._said = now
            if self.unit in _IMAGES:
                record("raynef_images_per_second", self.rate(), stage=self.what)
            logger.info("%s: %s%s", self.what, self._line(now), f"  {note}" if note else "")
            self._standing.note(self.done, self.rate(), facts)

    def restart_at(self, done: int) -> None:
        """Count on from ``done``: the work resumed, or fell back to its last checkpoint."""
        self.done = done
        self._first = None
        self._standing.note(done, 0.0)

    def rate(self) -> float:
        """Items a second since the first was done (start-up left out); 0 where unknown."""
        if self._first is None or self.done == self._first[1]:
            return 0.0
        seconds = time.monotonic() - self._first[0]
        return (self.done - self._first[1]) / seconds if seconds > 0 else 0.0

    def close(self) -> None:
        """Say the last word."""
        seconds = time.monotonic() - self.started
        logger.info("%s: %d %s in %s", self.what, self.done, self.unit, _clock(seconds))

    def _line(self, now: float) -> str:
        rate = self.rate()
        eta = f", {_clock((self.total - self.done) / rate)} left" if rate else ""
        speed = f", {rate:.1f} {self.unit}/s" if rate else ""
        return f"{self.done}/{self.total} {self.unit}{speed}{eta}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
