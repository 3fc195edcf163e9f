"""Run a training loop where it belongs: on workers of Ray Train, or in this process alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raynef.cluster.devices import device_here
from raynef.cluster.events import Event
from raynef.cluster.interrupt import asked_to_end
from raynef.cluster.place import in_this_process
from raynef.cluster.process_worker import EpochHook, ProcessWorker
from raynef.cluster.worker import Loop
from raynef.io.checkpoints import State, newest_checkpoint

if TYPE_CHECKING:
    from ray.train import UserCallback as TrainCallback

Tell = Callable[[Event], None]


@dataclass(frozen=True)
class Spread:
    """How a training is spread."""

    workers: int  # that share the global batch
    gpu_share: float  # of a GPU, for each worker; above one half, so that no two ranks share one
    max_failures: int  # times that it goes on from its last checkpoint after a lost worker
    field: str  # of the recipe that says how many workers, for errors


def fit(
    loop: Loop,
    config: dict[str, Any],
    path: Path,
    *,
    tell: Tell,
    spread: Spread,
    on_epoch: EpochHook | None = None,
    callbacks: "Sequence[TrainCallback]" = (),
) -> State:
    """Run a loop to its end; the last checkpoint's content. The same call again goes on.

    Args:
        loop: see ``Loop``.
        config: of the loop, plain values, with ``threads`` for each worker.
        path: folder in which ``checkpoints`` are kept.
        tell: hears, on the driver, what the loop says.
        spread: within ``this_process()`` there is one worker, and it is here.
        on_epoch: called in this process when a checkpoint is safe.
        callbacks: of Ray Train.

    Raises:
        UserError: more workers than GPUs.
        NonFiniteLossError: with step and rank.
    """
    folder = path / "checkpoints"
    if in_this_process():
        worker = ProcessWorker(folder, device_here(), hear=tell, on_epoch=on_epoch)
        with asked_to_end(worker.end):
            loop(config, worker)
    else:
        from raynef.cluster.fit_on_ray import fit_on_ray

        fit_on_ray(loop, config, folder.absolute(), tell, spread, callbacks)
    state, damaged = newest_checkpoint(folder)
    if damaged:
        reason = next(iter(damaged.values()))
        raise OSError(f"{reason}; run the same command again, to go on from the one before")
    if state is None:
        raise RuntimeError("the training ended without a checkpoint; see the log of its workers")
    return state
