"""Where the seconds of a job go: ``seconds_by_part`` of its result."""

import time

from raynef.cluster.events import Event, Stepped

START = "start"  # what is imported and read before there is a place to work
RAY = "ray"  # until the cluster is joined, or an embedded one runs
FEATURES = "features"  # extraction, or finding that a store is complete
TEACHERS = "teachers"  # K-means of what several clusterings are learned from
STEPS = "steps"  # of training, waiting for features among them; those that were lost, too
BETWEEN_STEPS = "between_steps"  # workers that start, and start again; checkpoints
FIT = "fit"  # of a baseline
SEGMENTER = "segmenter"  # what is saved: the head, K-means where that is the head, the tree


class Spent:
    """Laps of a clock: what passes between two calls is of the part that the second one names.

    Args:
        since: when the first part began, by ``time.monotonic``; now if None.
    """

    def __init__(self, since: float | None = None) -> None:
        self._mark = time.monotonic() if since is None else since
        self._parts: dict[str, float] = {}
        self._in_steps = 0.0

    def until_here(self, part: str) -> None:
        """A part ends; it may have begun before."""
        self._add(part, self._lap())

    def hear(self, event: Event) -> None:
        """An event of a training's worker, which says how long each step took."""
        if isinstance(event, Stepped):
            self._in_steps += sum(event.split.values())

    def trained(self) -> None:
        """A training ends: its steps, as they were told, and what there was between them."""
        whole = self._lap()
        steps = min(self._in_steps, whole)
        self._add(STEPS, steps)
        self._add(BETWEEN_STEPS, whole - steps)

    def plain(self) -> dict[str, float]:
        """Seconds of each part, in the order of their ends."""
        return {part: round(seconds, 2) for part, seconds in self._parts.items()}

    def words(self) -> str:
        """The same for a log; what took no time is left out."""
        told = [f"{part.replace('_', ' ')} {s:.1f}" for part, s in self._parts.items() if s >= 0.05]
        return ", ".join(told)

    def _add(self, part: str, seconds: float) -> None:
        self._parts[part] = self._parts.get(part, 0.0) + seconds

    def _lap(self) -> float:
        now = time.monotonic()
        lap, self._mark = now - self._mark, now
        return lap
