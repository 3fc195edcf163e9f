"""One of the workers of Ray Train, as a place that the training loop runs in."""

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
from raynef.cluster.events import Event, Safe, Stepped
from raynef.cluster.metrics import record_step
from raynef.cluster.worker import Loop, Worker
from raynef.io.checkpoints import CHECKPOINT, State, write_checkpoint

_PATIENCE_S = 30.0  # that a driver has to stop its workers when it told them to end


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
