"""Run a training loop where it belongs: on workers of Ray Train, or in this process alone."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray.exceptions import RayError
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Empty, Queue

from raynef.core.errors import NonFiniteLossError, UserError
from raynef.runtime.loop import State, Worker, load_checkpoint
from raynef.runtime.progress import Progress
from raynef.runtime.session import gpus_in_cluster, in_this_process
from raynef.runtime.workers import EpochHook, ProcessWorker, ray_worker

logger = logging.getLogger("raynef")

Loop = Callable[[dict[str, Any], Worker], None]
"""A module-level function that trains: it restores, tells, and saves through its worker."""


@dataclass(frozen=True)
class Spread:
    """How a training is spread.

    Attributes:
        workers: that share the global batch.
        gpu_share: of a GPU, for each worker where there are GPUs.
        max_failures: times that it goes on from its last checkpoint after a lost worker.
        field: of the recipe that says how many workers, for errors.
    """

    workers: int
    gpu_share: float
    max_failures: int
    field: str


def fit(
    loop: Loop,
    config: dict[str, Any],
    path: Path,
    *,
    tell: Callable[[dict[str, Any]], None],
    spread: Spread,
    on_epoch: EpochHook | None = None,
    callbacks: Sequence[UserCallback] = (),
) -> State:
    """Run a loop to its end; the last checkpoint's content. The same call again goes on.

    Args:
        loop: see ``Loop``.
        config: of the loop, plain values, with ``threads`` for each worker.
        path: folder in which ``checkpoints`` are kept.
        tell: hears, on the driver, what the loop says.
        spread: see there; within ``this_process()`` there is one worker, and it is here.
        on_epoch: called in this process when a checkpoint is safe.
        callbacks: of Ray Train.

    Raises:
        UserError: more workers than GPUs.
        NonFiniteLossError: with step and rank.
    """
    if in_this_process():
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        loop(config, ProcessWorker(path / "checkpoints", device, hear=tell, on_epoch=on_epoch))
        return load_checkpoint(path / "checkpoints")
    return _fit_on_ray(loop, config, path, tell, spread, callbacks)


def _fit_on_ray(
    loop: Loop,
    config: dict[str, Any],
    path: Path,
    tell: Callable[[dict[str, Any]], None],
    spread: Spread,
    callbacks: Sequence[UserCallback],
) -> State:
    on_gpu = gpus_in_cluster() > 0
    if on_gpu and spread.workers > gpus_in_cluster():
        raise UserError(
            f"{spread.field} = {spread.workers}, but Ray knows of {gpus_in_cluster()} GPU(s), and "
            "each worker needs one of its own"
        )
    resources: dict[str, float] = {"CPU": 1}
    if on_gpu:
        resources["GPU"] = spread.gpu_share
    events: Queue = Queue(actor_options={"num_cpus": 0})
    trainer = TorchTrainer(
        ray_worker(loop),
        train_loop_config={**config, "events": events},
        torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=spread.workers, use_gpu=on_gpu, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name="checkpoints",
            storage_path=str(path),
            failure_config=FailureConfig(max_failures=spread.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            callbacks=list(callbacks),
        ),
    )
    logger.info("starting %d train worker(s)", spread.workers)
    listener = _Listener(events, tell)
    listener.start()
    try:
        checkpoint = trainer.fit().checkpoint
    finally:
        listener.stop()
        events.shutdown(force=True)
    if listener.fatal is not None:
        raise NonFiniteLossError(listener.fatal)
    if checkpoint is None:
        raise RuntimeError("Ray Train ended without a checkpoint; see the log of its workers")
    with checkpoint.as_directory() as folder:
        return load_checkpoint(folder)


class Teller:
    """Says on the driver how a training goes."""

    def __init__(self, what: str, num_steps: int, batch_size: int) -> None:
        self._what, self._batch_size = what, batch_size
        self._progress = Progress(
            what, num_steps * batch_size, "images", {"steps": num_steps, "batch_size": batch_size}
        )

    def hear(self, event: dict[str, Any]) -> None:
        """An event of ``Worker.tell``."""
        if "resumed" in event:
            if event["resumed"]:
                logger.info("%s: going on from step %d", self._what, event["resumed"])
            self._progress.restart_at(event["resumed"] * self._batch_size)
        else:
            step = event["step"]
            self._progress.advance(self._batch_size, _in_words(step), step)


def _in_words(step: dict[str, Any]) -> str:
    """The terms of one step, for the line of progress."""
    note = f"loss {step['loss']:.3f}"
    if "trace" in step:
        note = (
            f"epoch {step['epoch'] + 1}  {note}  trace {step['trace']:.3f}  "
            f"clusters {step['clusters_in_use']}"
        )
    return note


class _Listener:
    """Reads what rank 0 tells, on the driver: progress for the user, and a fatal loss."""

    def __init__(self, events: Queue, tell: Callable[[dict[str, Any]], None]) -> None:
        self.fatal: str | None = None
        self._events, self._tell = events, tell
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def _listen(self) -> None:
        while True:
            try:
                event = self._events.get(timeout=0.5)
            except Empty:
                if self._ended.is_set():
                    return
                continue
            except RayError as error:
                logger.warning("progress is lost (%s); training goes on", type(error).__name__)
                return
            if "fatal" in event:
                self.fatal = event["fatal"]
            else:
                self._tell(event)
