"""Run a training loop on workers of Ray Train, and hear what they say."""

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raynef.cluster.events import Fatal, Safe
from raynef.cluster.failures import RestartBackoff, is_mistake
from raynef.cluster.fit import Spread, Tell
from raynef.cluster.interrupt import on_interrupt
from raynef.cluster.private import forget_broken_record, stoppable_trainer
from raynef.cluster.ray_worker import ray_worker
from raynef.cluster.session import TRAIN, gpus_for, resources_of
from raynef.cluster.worker import Loop
from raynef.core.errors import NonFiniteLossError, UserError

logger = logging.getLogger("raynef")

_SILENCE_S = 20.0  # of the workers, after which the cluster is looked at
_SAFE_S = 9.0  # that a checkpoint may take when a shutdown is requested


def fit_on_ray(
    loop: Loop,
    config: dict[str, Any],
    folder: Path,
    tell: Tell,
    spread: Spread,
    callbacks: Sequence[UserCallback],
) -> None:
    """As of ``fit``; ``folder`` is that of the checkpoints."""
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
