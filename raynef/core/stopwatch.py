"""Where the time of a step goes."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

import torch
from torch import Tensor

from raynef.core.collectives import Collectives
from raynef.core.devices import CPU, wait_for

PARTS = ("features", "graph", "communication", "psi")
"""Waiting for features; neighbors and kernel; what goes between workers; all else."""

Moment = Any
"""A turn of the clock: seconds, or on CUDA an event among the GPU's work."""


class Stopwatch:
    """Seconds of each part of a step; within a part that another interrupts, the inner one counts.

    On CUDA, where a GPU runs behind, turns are events among its work, and nobody waits for them; on
    mps the clock waits for the device at each turn.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device or CPU
        self._running: list[str] = []
        self._mark: Moment = None
        # Part, its beginning and its end; the last of them, where nobody asks.
        self._ended: deque[tuple[str, Moment, Moment]] = deque(maxlen=4096)

    @contextlib.contextmanager
    def running(self, part: str) -> Generator[None]:
        """Count what happens inside for ``part``."""
        self._turn()
        self._running.append(part)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def lap(self, *, wait: bool = False) -> dict[str, float]:
        """Seconds of each part since the last call.

        What a GPU has not come to counts in a later lap, unless this one is to ``wait`` for it.
        """
        spent: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        if wait and self._ended:
            _is_past(self._ended[-1][-1], wait=True)
        while self._ended and _is_past(self._ended[0][-1]):
            part, begin, end = self._ended.popleft()
            spent[part] += _seconds(begin, end)
        return spent

    def _turn(self) -> None:
        if self._device.type == "cuda":
            now = torch.cuda.Event(enable_timing=True)
            now.record()
        else:
            wait_for(self._device)
            now = time.perf_counter()
        if self._running and self._mark is not None:
            self._ended.append((self._running[-1], self._mark, now))
        self._mark = now


def _is_past(moment: Moment, *, wait: bool = False) -> bool:
    """Whether the device has come to it, or has by the end of the wait."""
    if isinstance(moment, float):
        return True
    if wait:
        moment.synchronize()
    return moment.query()


def _seconds(begin: Moment, end: Moment) -> float:
    return end - begin if isinstance(begin, float) else begin.elapsed_time(end) / 1000


class Timed:
    """Collectives whose time counts as communication."""

    def __init__(self, collectives: Collectives, watch: Stopwatch) -> None:
        self.rank, self.world_size = collectives.rank, collectives.world_size
        self._collectives, self._watch = collectives, watch

    def all_gather_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        with self._watch.running("communication"):
            return self._collectives.all_gather_rows(rows, counts)

    def all_reduce_sum(self, value: Tensor) -> Tensor:
        with self._watch.running("communication"):
            return self._collectives.all_reduce_sum(value)

    def begin_sum(self, value: Tensor) -> Callable[[], Tensor]:
        end = self._collectives.begin_sum(value)

        def ended() -> Tensor:
            with self._watch.running("communication"):
                return end()

        return ended

    def reduce_scatter_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        with self._watch.running("communication"):
            return self._collectives.reduce_scatter_rows(rows, counts)
