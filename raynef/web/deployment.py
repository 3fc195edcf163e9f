"""Segmenters on Ray Serve: replicas behind one handle.

Ray Serve's own HTTP proxies stay off: they hold whatever bytes a client sends until a replica asks
for them, know no token, and refuse without a word when to come again. ``raynef.web.guard`` does so
before anything reaches Ray.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from raynef.cluster.session import FEATURES, gpus_for, resources_of, threads_of_each
from raynef.core.errors import UserError
from raynef.models.segmenter import Segmenter
from raynef.web.answers import Answer, Refusal, Wanted
from raynef.web.served import Served

_NO_REPLICA = (RayError, RayServeException)
_ALIVE_S, _ASK_AGAIN_S = 5.0, 1.0
_STOP_S = 5.0  # that a replica has to answer what it works on when the service ends
_BESIDE = 8  # calls that a replica takes beside the requests: those for its health


@dataclass(frozen=True)
class Replication:
    """How the service is laid out.

    Attributes:
        segmenter: its folder, which every node sees.
        replicas: processes, each with the whole segmenter.
        concurrent: requests that come at once, at most.
        batch_size: images that are segmented at once, at most.
        most_pixels: of an image that is decoded.
    """

    segmenter: str
    replicas: int = 1
    concurrent: int = 32
    batch_size: int = 8
    most_pixels: int = 50_000_000


class Replica:
    """A segmenter in a process of its own.

    Args:
        asked: as laid out.
        threads: of its CPU.
        has_gpu: whether a GPU, or a share of one, is its own.
    """

    def __init__(self, asked: Replication, threads: int, has_gpu: bool) -> None:
        segmenter = Segmenter.load(asked.segmenter, device="cuda" if has_gpu else "cpu")
        self._served = Served(
            segmenter,
            threads=threads,
            most_at_once=asked.batch_size,
            most_pixels=asked.most_pixels,
        )

    async def predict(self, encoded: bytes, wanted: Wanted) -> Answer | Refusal:
        """The answer to one image."""
        return await self._served.answer(encoded, wanted)

    async def alive(self) -> bool:
        """Whether it answers."""
        return True


class Deployed:
    """The replicas, as the application asks them; see ``raynef.web.serve_app.Backend``."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle
        self._known: tuple[float, str | None] = (-_ASK_AGAIN_S, None)

    async def predict(self, encoded: bytes, wanted: Wanted) -> Answer | Refusal:
        response = self._handle.predict.remote(encoded, wanted)
        try:
            return await response
        except asyncio.CancelledError:  # nobody waits for it any more
            response.cancel()
            raise
        except RayTaskError:  # a fault of ours
            raise
        except _NO_REPLICA as error:  # Ray Serve starts another one
            logging.getLogger("raynef").warning("serve: %s", type(error).__name__)
            return Refusal(503, "the segmenter is starting again")

    async def trouble(self) -> str | None:
        """Asked of the replicas at most once a second, however often it is asked here."""
        asked, known = self._known
        if time.monotonic() - asked < _ASK_AGAIN_S:
            return known
        self._known = (time.monotonic(), known)
        try:
            async with asyncio.timeout(_ALIVE_S):
                await self._handle.alive.remote()
            found = None
        except (TimeoutError, *_NO_REPLICA):
            found = "no replica of the segmenter answers"
        self._known = (time.monotonic(), found)
        return found


@contextlib.contextmanager
def deployed(asked: Replication) -> Iterator[Deployed]:
    """Replicas on the Ray that this process has joined; they end with the block.

    Raises:
        UserError: none starts, as where nodes do not see the segmenter's folder.
    """
    gpus, threads = gpus_for(FEATURES), threads_of_each(asked.replicas)
    share = 1 / math.ceil(asked.replicas / gpus) if gpus else 0
    deployment = serve.deployment(
        name="segmenter",
        num_replicas=asked.replicas,
        ray_actor_options={
            "num_cpus": 1,
            "num_gpus": share,
            "resources": resources_of(FEATURES),
        },
        max_ongoing_requests=asked.concurrent + _BESIDE,
        health_check_period_s=2,
        graceful_shutdown_timeout_s=_STOP_S,
        graceful_shutdown_wait_loop_s=0.2,
        max_constructor_retry_count=2,
    )(Replica)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    quiet = {"log_level": "WARNING", "enable_access_log": False}
    serve.start(proxy_location="Disabled", logging_config=quiet)
    name = f"raynef-{uuid4().hex[:8]}"  # beside the services of others
    application = deployment.bind(asked, threads, gpus > 0)
    try:
        try:
            handle = serve.run(application, name=name, route_prefix=None, logging_config=quiet)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"no replica starts from {asked.segmenter}: {reason}") from error
        yield Deployed(handle)
    finally:
        serve.delete(name)
