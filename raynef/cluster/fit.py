"""Run a training loop where it belongs: on workers of Ray Train, or in this process alone."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raynef.cluster.events import Event, Fatal, Safe
from raynef.cluster.failures import RestartBackoff, is_mistake
from raynef.cluster.interrupt import on_interrupt
from raynef.cluster.private import forget_broken_record, stoppable_trainer
from raynef.cluster.session import TRAIN, gpus_for, in_this_process, resources_of
from raynef.cluster.worker import Loop
from raynef.cluster.workers import EpochHook, ProcessWorker, ray_worker
from raynef.core.errors import NonFiniteLossError, UserError
from raynef.io.checkpoints import State, newest_checkpoint

logger = logging.getLogger("raynef")

TrainCallback = UserCallback
"""Of Ray Train, which a sweep passes along to hear of its trials."""
Tell = Callable[[Event], None]

_SILENCE_S = 20.0  # of the workers, after which the cluster is looked at
_SAFE_S = 9.0  # that a checkpoint may take when a shutdown is requested


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
    callbacks: Sequence[TrainCallback] = (),
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
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        loop(config, ProcessWorker(folder, device, hear=tell, on_epoch=on_epoch))
    else:
        _fit_on_ray(loop, config, folder.absolute(), tell, spread, callbacks)
    state, damaged = newest_checkpoint(folder)
    if damaged:
        reason = next(iter(damaged.values()))
        raise OSError(f"{reason}; run the same command again, to go on from the one before")
    if state is None:
        raise RuntimeError("the training ended without a checkpoint; see the log of its workers")
    return state


def _fit_on_ray(
    loop: Loop,
    config: dict[str, Any],
    folder: Path,
    tell: Tell,
    spread: Spread,
    callbacks: Sequence[TrainCallback],
) -> None:
    gpus = gpus_for(TRAIN)
    if gpus and spread.workers > gpus:
        raise UserError(
            f"{spread.field} = {spread.workers}, but Ray knows of {gpus} GPU(s) for workers, and "
            "each needs one of its own"
        )
    resources = worker_resources(spread, on_gpu=gpus > 0)
    forget_broken_record(folder)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    # On the driver's node, so that they are there as long as it is.
    kept = {"num_cpus": 0, "scheduling_strategy": here}
    events, orders = (Queue(actor_options=kept) for _ in range(2))
    trainer, abort = stoppable_trainer(
        is_mistake,
        ray_worker(loop),
        train_loop_config={
            **config,
            "events": events,
            "orders": orders,
            "checkpoints": str(folder),
        },
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=spread.workers, use_gpu=gpus > 0, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            failure_config=FailureConfig(max_failures=spread.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            callbacks=[*callbacks, RestartBackoff()],
        ),
    )
    logger.info("starting %d train worker(s)", spread.workers)
    listener = _Listener(events, tell, needs={k: v * spread.workers for k, v in resources.items()})

    def make_safe() -> None:
        logger.info("shutdown requested: waiting for a checkpoint")
        orders.put("end")
        if listener.safe.wait(_SAFE_S):
            logger.info("a checkpoint is safe")
        with contextlib.suppress(RayError):  # the controller ends, and its answer with it
            abort(_SAFE_S)

    try:
        with on_interrupt(make_safe):
            trainer.fit()
    finally:
        listener.stop()
        for queue in (events, orders):
            queue.shutdown(force=True)
    if listener.fatal is not None:
        raise NonFiniteLossError(listener.fatal)


def worker_resources(spread: Spread, *, on_gpu: bool) -> dict[str, float]:
    """What each worker reserves of Ray's resources.

    Raises:
        ValueError: a share that would let two ranks onto one GPU.
    """
    resources: dict[str, float] = {"CPU": 1, **resources_of(TRAIN)}
    if on_gpu:
        if not 0.5 < spread.gpu_share <= 1:
            raise ValueError(f"gpu_share must be in (0.5, 1], got {spread.gpu_share}")
        resources["GPU"] = spread.gpu_share
    return resources


class _Listener:
    """Reads what rank 0 tells, on the driver: progress for the user, and a fatal loss."""

    def __init__(self, events: Queue, tell: Tell, *, needs: dict[str, float]) -> None:
        self.fatal: str | None = None
        self.safe = threading.Event()
        self._events, self._tell, self._needs = events, tell, needs
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def _listen(self) -> None:
        asked = time.monotonic()
        while True:
            try:
                event = self._events.get(timeout=0.5)
            except Empty:
                if self._ended.is_set():
                    return
                if time.monotonic() - asked > _SILENCE_S:
                    asked = time.monotonic()
                    self._say_what_is_missing()
                continue
            except RayError as error:
                logger.warning("progress is lost (%s); training goes on", type(error).__name__)
                return
            asked = time.monotonic()
            if isinstance(event, Fatal):
                self.fatal = event.message
            elif isinstance(event, Safe):
                self.safe.set()
            else:
                self._tell(event)

    def _say_what_is_missing(self) -> None:
        """Ray Train waits for resources without a word, as after the loss of a node."""
        with contextlib.suppress(RayError):
            have = ray.cluster_resources()
            missing = [
                f"{name} {need:g} (there is {have.get(name, 0):g})"
                for name, need in self._needs.items()
                if have.get(name, 0) < need
            ]
            if missing:
                logger.warning(
                    "waiting for nodes: the workers need %s; the training goes on once they are "
                    "there, or with the same command later",
                    ", ".join(missing),
                )
