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
from raynef.cluster.events import Event, Fatal, Safe, Stepped
from raynef.cluster.metrics import record_step
from raynef.cluster.worker import Loop, Worker
from raynef.core.collectives import SingleProcess
from raynef.core.errors import NonFiniteLossError
from raynef.io.checkpoints import CHECKPOINT, State, step_of, write_checkpoint

_PATIENCE_S = 30.0  # that a driver has to stop its workers when it told them to end
_KEPT = 2  # checkpoints at the ends of epochs

EpochHook = Callable[[dict[str, float], Any], None]
"""Called with the summary of an epoch when its checkpoint is safe."""


def ray_worker(loop: Loop) -> Callable[[dict[str, Any]], None]:
    """What every worker of Ray Train runs, of a loop."""

    def run(config: dict[str, Any]) -> None:
        torch.set_num_threads(config["threads"])
        loop(config, _RayWorker(config["events"], config["orders"], Path(config["checkpoints"])))

    return run


class _RayWorker(Worker):
    """One of Ray Train's workers; the first tells the driver, and keeps the state of all."""

    def __init__(self, events: Any, orders: Any, folder: Path) -> None:
        super().__init__(folder, ray.train.torch.get_device(), current_collectives())
        self._events, self._orders = events, orders

    def tell(self, event: Event) -> None:
        if isinstance(event, Stepped) and event.split:
            record_step(int(event.terms["step"]) + 1, event.split, rank=self.collectives.rank)
        if self.collectives.rank == 0:
            self._events.put(event)

    def save(self, state: State, summary: dict[str, float], trainer: Any, *, step: int) -> None:
        """Every rank reports; the first brings the checkpoint."""
        self._kept_at = time.monotonic()
        if self.collectives.rank != 0:
            ray.train.report(summary)
            return
        with tempfile.TemporaryDirectory() as folder:
            write_checkpoint(Path(folder) / CHECKPOINT, state, step=step)
            ray.train.report(summary, checkpoint=Checkpoint.from_directory(folder))
        if not self._orders.empty():
            self._obey(step)

    def keep(self, state: Callable[[], State], *, step: int, ordered: bool = False) -> None:
        """The first writes it, without the others: they hold the same."""
        if self.collectives.rank != 0:
            return
        ordered = not self._orders.empty()
        super().keep(state, step=step, ordered=ordered)
        if ordered:
            self._obey(step)

    def _obey(self, step: int) -> None:
        """The state of this step is safe: tell a driver that shuts down, and wait."""
        self.tell(Safe(step))
        time.sleep(_PATIENCE_S)


class ProcessWorker(Worker):
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
        hear: Callable[[Event], None],
        on_epoch: EpochHook | None = None,
    ) -> None:
        super().__init__(folder, device, SingleProcess())
        self._hear, self._on_epoch = hear, on_epoch

    def tell(self, event: Event) -> None:
        """Raises NonFiniteLossError on a fatal event."""
        if isinstance(event, Fatal):
            raise NonFiniteLossError(event.message)
        self._hear(event)

    def save(self, state: State, summary: dict[str, float], trainer: Any, *, step: int) -> None:
        """Write the checkpoint, drop all but the last two, then report."""
        write_checkpoint(self._folder / f"checkpoint_{step:08d}" / CHECKPOINT, state, step=step)
        there = self._folder.glob(f"checkpoint_*/{CHECKPOINT}")
        # A damaged one has no step, and goes first.
        for path in sorted(there, key=lambda path: step_of(path) or 0)[:-_KEPT]:
            shutil.rmtree(path.parent, ignore_errors=True)
        self._kept_at = time.monotonic()
        if self._on_epoch is not None:
            self._on_epoch(summary, trainer)
