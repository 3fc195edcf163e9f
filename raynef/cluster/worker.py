"""What a training loop needs of the place that it runs in."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from raynef.cluster.events import Damaged, Event
from raynef.core.collectives import Collectives
from raynef.io.checkpoints import INTERIM, State, newest_checkpoint, set_aside, write_checkpoint

INTERIM_S = 180.0
"""Seconds between checkpoints within an epoch: the most that a crash costs."""


class Worker:
    """Where a loop runs: a device, the others, and a folder of checkpoints."""

    def __init__(self, folder: Path, device: torch.device, collectives: Collectives) -> None:
        self.device, self.collectives, self._folder = device, collectives, folder
        self._kept_at = time.monotonic()

    def tell(self, event: Event) -> None:
        """Say what happened; ``Fatal`` ends the training."""
        raise NotImplementedError

    def save(self, state: State, summary: dict[str, float], trainer: Any, *, step: int) -> None:
        """Keep the state after ``step`` steps, at the end of an epoch, and report its summary."""
        raise NotImplementedError

    def restore(self) -> State | None:
        """The latest state that was kept whole, on this or an earlier try; None at the first.

        The first worker sets aside files that are damaged.
        """
        state, damaged = newest_checkpoint(self._folder)
        for path, reason in damaged.items() if self.collectives.rank == 0 else ():
            self.tell(Damaged(reason))
            set_aside(path)
        return state

    def keep(self, state: Callable[[], State], *, step: int, ordered: bool = False) -> None:
        """After any other step: keep the state if minutes have passed or it is ordered."""
        if ordered or time.monotonic() - self._kept_at >= INTERIM_S:
            write_checkpoint(self._folder / INTERIM, state(), step=step)
            self._kept_at = time.monotonic()


Loop = Callable[[dict[str, Any], Worker], None]
"""A module-level function that trains: it restores, tells, and saves through its worker."""
