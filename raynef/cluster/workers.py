"""The two places that the training loop runs in: a worker of Ray Train, and this process."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray.train import Checkpoint

from raynef.cluster.collectives import current_collectives
from raynef.cluster.metrics import record_step
from raynef.core.collectives import Collectives, SingleProcess
from raynef.core.errors import NonFiniteLossError
from raynef.io.checkpoints import (
    CHECKPOINT,
    INTERIM,
    State,
    newest_checkpoint,
    set_aside,
    step_of,
    write_checkpoint,
)

INTERIM_S = 180.0
"""Seconds between checkpoints within an epoch: the most that a crash costs."""
_PATIENCE_S = 30.0  # that a driver has to stop its workers when it told them to end
_KEPT = 2  # checkpoints at the ends of epochs

EpochHook = Callable[[dict[str, float], Any], None]
"""Called with the summary of an epoch when its checkpoint is safe."""


def ray_worker(loop: Callable[[dict[str, Any], Any], None]) -> Callable[[dict[str, Any]], None]:
    """What every worker of Ray Train runs, of a loop."""

    def run(config: dict[str, Any]) -> None:
        torch.set_num_threads(config["threads"])
        loop(config, _RayWorker(config["events"], config["orders"], Path(config["checkpoints"])))

    return run


class _Worker:
    """What both have: a folder of checkpoints, and when the next within an epoch is due."""

    device: torch.device
    collectives: Collectives

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept = time.monotonic()

    def tell(self, event: dict[str, Any]) -> None:
        raise NotImplementedError

    def restore(self) -> State | None:
        """The latest whole state, if there is one; the first worker sets aside damaged files."""
        state, damaged = newest_checkpoint(self._folder)
        for path, reason in damaged.items() if self.collectives.rank == 0 else ():
            self.tell({"damaged": reason})
            set_aside(path)
        return state

    def _keep(self, state: Callable[[], State], step: int, *, ordered: bool = False) -> None:
        """Replace the checkpoint within the epoch where it is time, or ordered."""
        if ordered or time.monotonic() - self._kept >= INTERIM_S:
            write_checkpoint(self._folder / INTERIM, state(), step=step)
            self._kept = time.monotonic()


class _RayWorker(_Worker):
    """One of Ray Train's workers; the first tells the driver, and keeps the state of all."""

    def __init__(self, events: Any, orders: Any, folder: Path) -> None:
        super().__init__(folder)
        self.device = ray.train.torch.get_device()
        self.collectives: Collectives = current_collectives()
        self._events, self._orders = events, orders

    def tell(self, event: dict[str, Any]) -> None:
        if "split" in event:
            record_step(event["step"]["step"] + 1, event["split"], rank=self.collectives.rank)
        if self.collectives.rank == 0:
            self._events.put(event)

    def save(self, state: State, summary: dict[str, float], trainer: Any, *, step: int) -> None:
        """Every rank reports; the first brings the checkpoint."""
        self._kept = time.monotonic()
        if self.collectives.rank != 0:
            ray.train.report(summary)
            return
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(Path(folder) / CHECKPOINT, state, step=step)
            ray.train.report(summary, checkpoint=Checkpoint.from_directory(folder))
        if not self._orders.empty():
            self._obey(step)

    def keep(self, state: Callable[[], State], *, step: int) -> None:
        """The first writes it, without the others: they hold the same."""
        if self.collectives.rank != 0:
            return
        ordered = not self._orders.empty()
        self._keep(state, step, ordered=ordered)
        if ordered:
            self._obey(step)

    def _obey(self, step: int) -> None:
        """The state of this step is safe: tell a driver that shuts down, and wait."""
        self.tell({"safe": step})
        time.sleep(_PATIENCE_S)


class ProcessWorker(_Worker):
    """This process alone.

    Args:
        folder: of the checkpoints.
        device: that computes.
        hear: called with each event.
        on_epoch: called when the checkpoint of an epoch is safe.
    """

    def __init__(
        self,
        folder: Path,
        device: torch.device,
        *,
        hear: Callable[[dict[str, Any]], None],
        on_epoch: EpochHook | None = None,
    ) -> None:
        super().__init__(folder)
        self.device = device
        self.collectives: Collectives = SingleProcess()
        self._hear, self._on_epoch = hear, on_epoch

    def tell(self, event: dict[str, Any]) -> None:
        """Raises NonFiniteLossError on a fatal event."""
        if "fatal" in event:
            raise NonFiniteLossError(event["fatal"])
        self._hear(event)

    def save(self, state: State, summary: dict[str, float], trainer: Any, *, step: int) -> None:
        """Write the checkpoint, drop all but the last two, then report."""
        write_checkpoint(self._folder / f"checkpoint_{step:08d}" / CHECKPOINT, state, step=step)
        there = self._folder.glob(f"checkpoint_*/{CHECKPOINT}")
        # A damaged one has no step, and goes first.
        for path in sorted(there, key=lambda path: step_of(path) or 0)[:-_KEPT]:
            shutil.rmtree(path.parent, ignore_errors=True)
        self._kept = time.monotonic()
        if self._on_epoch is not None:
            self._on_epoch(summary, trainer)

    def keep(self, state: Callable[[], State], *, step: int) -> None:
        """Replace the checkpoint within the epoch where it is time."""
        self._keep(state, step)
