"""Where the time of a step goes."""

import contextlib
import time
from collections.abc import Generator

import torch
from torch import Tensor

from raynef.core.collectives import Collectives
from raynef.core.devices import CPU, wait_for

PARTS = ("features", "graph", "communication", "psi")
"""Waiting for features; neighbors and kernel; what goes between workers; all else."""


class Stopwatch:
    """Seconds of each part of a step; within a part that another interrupts, the inner one counts.

    On a GPU ``device``, which runs behind, the clock waits for it at each turn.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device or CPU
        self._spent: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._running: list[str] = []
        self._mark = 0.0

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

    def lap(self) -> dict[str, float]:
        """Seconds of each part since the last call."""
        spent = dict(self._spent)
        self._spent.update(dict.fromkeys(PARTS, 0.0))
        return spent

    def _turn(self) -> None:
        wait_for(self._device)
        now = time.perf_counter()
        if self._running:
            self._spent[self._running[-1]] += now - self._mark
        self._mark = now


class Timed:
    """Collectives whose time counts as communication."""

    def __init__(self, collectives: Collectives, watch: Stopwatch) -> None:
        self.rank, self.world_size = collectives.rank, collectives.world_size
        self._collectives, self._watch = collectives, watch

    def all_gather_rows(self, rows: Tensor) -> Tensor:
        with self._watch.running("communication"):
            return self._collectives.all_gather_rows(rows)

    def all_reduce_sum(self, value: Tensor) -> Tensor:
        with self._watch.running("communication"):
            return self._collectives.all_reduce_sum(value)

    def reduce_scatter_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        with self._watch.running("communication"):
            return self._collectives.reduce_scatter_rows(rows, counts)
