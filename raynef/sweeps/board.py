"""What a sweep shows while it runs: which trials are done, which run, and how long still."""

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray import tune

from raynef.sweeps.state import State, reported_state
from raynef.sweeps.sweep import Trial

logger = logging.getLogger("raynef")

_EVERY_S = 30.0  # in a log; on a terminal the table is drawn again every second
_LINES = 12


@dataclass
class _Running:
    """A trial that runs: its description, the epochs that it trains, and what it last reported."""

    about: str
    epochs: int
    started: float = field(default_factory=time.monotonic)
    result: Mapping[str, Any] = field(default_factory=dict)

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def words(self, epoch: str = "") -> str:
        return f"{self.about}{epoch}{_numbers(self.result)}  {_clock(self.seconds())}"

    def line(self) -> str:
        epoch = f": epoch {self.result.get('epoch', 0)}/{self.epochs}" if self.epochs else ""
        return self.words(epoch)


class Board(tune.Callback):
    """Tune's callback that tells of trials.

    On a terminal a table that is drawn in place; elsewhere a line for each trial that ends, and one
    for those that run every half minute.

    Args:
        resolve: the trial that a configuration means.
        total: trials of the sweep.
        done: that were finished before.
        concurrent: trials that run side by side.
    """

    def __init__(
        self,
        resolve: Callable[[Mapping[str, Any]], Trial],
        *,
        total: int,
        done: int,
        concurrent: int,
    ) -> None:
        self.resolve = resolve
        self.total, self.concurrent = total, concurrent
        self.ended = Counter[State]({"done": done})
        self.durations: list[float] = []
        self._running: dict[str, _Running] = {}
        self._said = time.monotonic()
        self._drawn = 0
        self._live = sys.stderr.isatty()

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        found = self.resolve(trial.config)
        epochs = found.recipe.train.epochs if found.method.trains else 0
        self._running[trial.trial_id] = _Running(found.about, epochs)

    def on_trial_result(
        self, iteration: int, trials: list, trial: Any, result: dict, **info: Any
    ) -> None:
        if trial.trial_id in self._running:
            self._running[trial.trial_id].result = dict(result)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        ended = self._running.pop(trial.trial_id, None)
        if ended is None:
            return
        self.durations.append(ended.seconds())
        state = reported_state(ended.result)
        said = {
            "done": f"done  {ended.words()}",
            "stopped": f"stopped early  {ended.words()}",
            "failed": f"FAILED  {ended.about}",
        }
        self._say(state, said[state])

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        ended = self._running.pop(trial.trial_id, None)
        self._say("failed", f"FAILED  {ended.about if ended else trial.trial_id}")

    def on_step_end(self, iteration: int, trials: list, **info: Any) -> None:
        now = time.monotonic()
        if now - self._said < (1.0 if self._live else _EVERY_S):
            return
        self._said = now
        lines = [self._head(), *(trial.line() for trial in list(self._running.values())[:_LINES])]
        if self._live:
            self._erase()
            sys.stderr.write("\n  ".join(line[:118] for line in lines) + "\n")
            sys.stderr.flush()
            self._drawn = len(lines)
        elif self._running:
            logger.info("%s", "; ".join(lines))

    def on_experiment_end(self, trials: list, **info: Any) -> None:
        self._erase()

    def _say(self, state: State, text: str) -> None:
        self.ended[state] += 1
        self._erase()
        logger.info("%s  (%s)", text, self._head())

    def _erase(self) -> None:
        if self._drawn:
            sys.stderr.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _head(self) -> str:
        left = self.seconds_left()
        parts = {
            f"{self.ended['done']}/{self.total} trials": True,
            f"{self.ended['stopped']} stopped early": self.ended["stopped"],
            f"{self.ended['failed']} failed": self.ended["failed"],
            f"{_clock(left or 0)} left": left is not None,
        }
        return ", ".join(part for part, shown in parts.items() if shown)

    def seconds_left(self) -> float | None:
        """By the mean duration of the trials so far; None before the first has shown its pace."""
        running = self._running.values()
        paces = list(self.durations)
        for trial in running:
            share = trial.result.get("epoch", 0) / max(1, trial.epochs)
            if share:
                paces.append(trial.seconds() / share)
        if not paces:
            return None
        mean = sum(paces) / len(paces)
        waiting = self.total - self.ended.total() - len(running)
        rest = sum(max(0.0, mean - trial.seconds()) for trial in running)
        return (waiting * mean + rest) / max(1, self.concurrent)


def _numbers(result: Mapping[str, Any]) -> str:
    shown = {
        "corloc": lambda value: f"  CorLoc {100 * value:.1f} %",
        "miou": lambda value: f"  mIoU {100 * value:.1f} %",
        "objective": lambda value: f"  objective {value:.4f}",
        "agreement": lambda value: f"  agreement {value:.4f}",
    }
    return "".join(f(result[k]) for k, f in shown.items() if isinstance(result.get(k), float))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
