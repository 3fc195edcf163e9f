"""What a sweep shows while it runs: which trials are done, which run, and how long still."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from ray import tune

logger = logging.getLogger("raynef")

_EVERY_S = 30.0  # in a log; on a terminal the table is drawn again every second
_LINES = 12


class Board(tune.Callback):
    """Tune's callback that tells of trials.

    On a terminal a table that is drawn in place; elsewhere a line for each trial that ends, and one
    for those that run every half minute.

    Args:
        about: of a trial's configuration, what people call it.
        total: trials of the sweep.
        done: that were finished before.
        epochs: of a configuration, what it trains; 0 for none.
        concurrent: trials that run side by side.
    """

    def __init__(
        self,
        about: Callable[[Mapping[str, Any]], str],
        *,
        total: int,
        done: int,
        epochs: Callable[[Mapping[str, Any]], int],
        concurrent: int,
    ) -> None:
        self.about, self.epochs = about, epochs
        self.total, self.done, self.concurrent = total, done, concurrent
        self.failed = self.stopped = 0
        self.durations: list[float] = []
        self._running: dict[str, dict[str, Any]] = {}
        self._said = time.monotonic()
        self._drawn = 0
        self._live = sys.stderr.isatty()

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._running[trial.trial_id] = {
            "about": self.about(trial.config),
            "epochs": self.epochs(trial.config),
            "started": time.monotonic(),
            "result": {},
        }

    def on_trial_result(
        self, iteration: int, trials: list, trial: Any, result: dict, **info: Any
    ) -> None:
        if trial.trial_id in self._running:
            self._running[trial.trial_id]["result"] = dict(result)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        entry = self._running.pop(trial.trial_id, None)
        if entry is None:
            return
        result, seconds = entry["result"], time.monotonic() - entry["started"]
        self.durations.append(seconds)
        if result.get("failed"):
            self.failed += 1
            self._say(f"FAILED  {entry['about']}")
        elif not result.get("done_trial"):
            self.stopped += 1
            self._say(f"stopped early  {entry['about']}{_numbers(result)}  {_clock(seconds)}")
        else:
            self.done += 1
            self._say(f"done  {entry['about']}{_numbers(result)}  {_clock(seconds)}")

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        entry = self._running.pop(trial.trial_id, None)
        self.failed += 1
        self._say(f"FAILED  {entry['about'] if entry else trial.trial_id}")

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        now = time.monotonic()
        if now - self._said < (1.0 if self._live else _EVERY_S):
            return
        self._said = now
        if self._live:
            self._draw()
        elif self._running:
            logger.info("%s", "; ".join([self._head(), *self._lines()]))

    def on_experiment_end(self, trials: list, **info: Any) -> None:
        self._erase()

    def _say(self, text: str) -> None:
        self._erase()
        logger.info("%s  (%s)", text, self._head())

    def _head(self) -> str:
        parts = [f"{self.done}/{self.total} trials"]
        if self.stopped:
            parts.append(f"{self.stopped} stopped early")
        if self.failed:
            parts.append(f"{self.failed} failed")
        left = self.seconds_left()
        if left is not None:
            parts.append(f"{_clock(left)} left")
        return ", ".join(parts)

    def seconds_left(self) -> float | None:
        """By the mean duration of the trials so far; None before the first has shown its pace."""
        now = time.monotonic()
        paces = list(self.durations)
        for entry in self._running.values():
            share = entry["result"].get("epoch", 0) / max(1, entry["epochs"])
            if share:
                paces.append((now - entry["started"]) / share)
        if not paces:
            return None
        mean = sum(paces) / len(paces)
        waiting = self.total - self.done - self.failed - self.stopped - len(self._running)
        rest = sum(max(0.0, mean - (now - e["started"])) for e in self._running.values())
        return (waiting * mean + rest) / max(1, self.concurrent)

    def _lines(self) -> list[str]:
        now = time.monotonic()
        return [
            f"{entry['about']}{_epoch(entry)}"
            f"{_numbers(entry['result'])}  {_clock(now - entry['started'])}"
            for entry in list(self._running.values())[:_LINES]
        ]

    def _draw(self) -> None:
        lines = [self._head(), *(f"  {line}" for line in self._lines())]
        self._erase()
        sys.stderr.write("".join(f"{line[:120]}\n" for line in lines))
        sys.stderr.flush()
        self._drawn = len(lines)

    def _erase(self) -> None:
        if self._drawn:
            sys.stderr.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0


def _epoch(entry: Mapping[str, Any]) -> str:
    if not entry["epochs"]:
        return ""
    return f": epoch {entry['result'].get('epoch', 0)}/{entry['epochs']}"


def _numbers(result: Mapping[str, Any]) -> str:
    parts = []
    if isinstance(result.get("corloc"), float):
        parts.append(f"CorLoc {100 * result['corloc']:.1f} %")
    if isinstance(result.get("miou"), float):
        parts.append(f"mIoU {100 * result['miou']:.1f} %")
    if isinstance(result.get("objective"), float):
        parts.append(f"objective {result['objective']:.4f}")
    return "".join(f"  {part}" for part in parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
