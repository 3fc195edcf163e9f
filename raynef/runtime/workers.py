"""The two places that the training loop runs in: a worker of Ray Train, and this process."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray.train import Checkpoint

from raynef.core.collectives import Alone, Collectives
from raynef.core.errors import NonFiniteLossError
from raynef.core.files import write_atomic
from raynef.runtime.collectives import current_collectives
from raynef.runtime.loop import CHECKPOINT, State, load_checkpoint

EpochHook = Callable[[dict[str, float], Any], None]
"""Called with the summary of an epoch when its checkpoint is safe."""


def ray_worker(loop: Callable[[dict[str, Any], Any], None]) -> Callable[[dict[str, Any]], None]:
    """What every worker of Ray Train runs, of a loop."""

    def run(config: dict[str, Any]) -> None:
        torch.set_num_threads(config["threads"])
        loop(config, _RayWorker(config["events"]))

    return run


class _RayWorker:
    """One of Ray Train's workers; the first tells the driver."""

    def __init__(self, events: Any) -> None:
        self.device = ray.train.torch.get_device()
        self.collectives: Collectives = current_collectives()
        self._events = events

    def restore(self) -> State | None:
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            return load_checkpoint(folder)

    def tell(self, event: dict[str, Any]) -> None:
        if self.collectives.rank == 0:
            self._events.put(event)

    def save(self, state: State, summary: dict[str, float], trainer: Any) -> None:
        """Every rank reports; the first brings the checkpoint."""
        if self.collectives.rank != 0:
            ray.train.report(summary)
            return
        with tempfile.TemporaryDirectory() as folder:
            torch.save(state, Path(folder) / CHECKPOINT)
            ray.train.report(summary, checkpoint=Checkpoint.from_directory(folder))


class ProcessWorker:
    """This process alone: its checkpoint is one file.

    Args:
        folder: of the checkpoint.
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
        self.device = device
        self.collectives: Collectives = Alone()
        self._folder, self._hear, self._on_epoch = folder, hear, on_epoch

    def restore(self) -> State | None:
        """The last epoch's state, if there is one."""
        return load_checkpoint(self._folder) if (self._folder / CHECKPOINT).is_file() else None

    def tell(self, event: dict[str, Any]) -> None:
        """Raises NonFiniteLossError on a fatal event."""
        if "fatal" in event:
            raise NonFiniteLossError(event["fatal"])
        self._hear(event)

    def save(self, state: State, summary: dict[str, float], trainer: Any) -> None:
        """Replace the checkpoint, then report."""
        write_atomic(self._folder / CHECKPOINT, lambda path: torch.save(state, path))
        if self._on_epoch is not None:
            self._on_epoch(summary, trainer)
