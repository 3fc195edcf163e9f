"""This process alone, as a place that the training loop runs in."""

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from raynef.cluster.events import Event, Fatal
from raynef.cluster.worker import Worker
from raynef.core.collectives import SingleProcess
from raynef.core.errors import NonFiniteLossError
from raynef.io.checkpoints import CHECKPOINT, State, step_of, write_checkpoint

logger = logging.getLogger("raynef")

_KEPT = 2  # checkpoints at the ends of epochs

EpochHook = Callable[[dict[str, float], Any], None]
"""Called with the summary of an epoch when its checkpoint is safe."""


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
        self._ending: KeyboardInterrupt | None = None

    def end(self, how: KeyboardInterrupt) -> None:
        """Let the step under way be the last: its state is kept, then ``how`` is raised."""
        logger.info("shutdown requested: waiting for a checkpoint")
        self._ending = how

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
        self._obey()

    def keep(self, state: Callable[[], State], *, step: int, ordered: bool = False) -> None:
        """Likewise where the training is to end."""
        super().keep(state, step=step, ordered=ordered or self._ending is not None)
        self._obey()

    def _obey(self) -> None:
        if self._ending is not None:
            logger.info("a checkpoint is safe")
            raise self._ending
