"""Where work runs: on a Ray that is there, on an embedded one, or in this process alone.

Ray is imported within the functions: work in this process alone does without, and starts sooner.
"""

import contextlib
import logging
import math
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from urllib.parse import urlsplit

import torch

from raynef.cluster import private, tokens
from raynef.cluster.actors import FeatureActors
from raynef.cluster.devices import choose_device, num_cuda
from raynef.cluster.interrupt import terminable
from raynef.cluster.place import in_this_process, place, this_process
from raynef.cluster.stderr import stderr_to
from raynef.core.devices import allows_cuda
from raynef.core.errors import UserError

logger = logging.getLogger("raynef")

FEATURES, TRAIN = "raynef_features", "raynef_train"
"""Roles of nodes, custom resources: how many feature actors, or train workers, each takes."""
WORKER_SHARE, ACTOR_SHARE = 0.6, 0.4
"""Of a GPU that a streaming train worker shares with a feature actor. A whole GPU holds one of
each, and never two workers, whatever a placement group makes of the shares: NCCL refuses two ranks
on one GPU."""

SMALL = 256
"""Images of a job that one process does sooner than an embedded Ray starts and shares it out …"""
SMALL_ON_FEW_CORES, FEW_CORES = 1024, 4
"""… and of one of networks on so few cores and no GPU, which Ray's processes would come out of."""

_ANSWER_S = 10.0  # that a cluster has to take a connection
_SHARED: ContextVar[contextlib.ExitStack | None] = ContextVar("shared", default=None)


@contextlib.contextmanager
def shared_session() -> Iterator[None]:
    """Several jobs, one after another: a Ray that one of them starts or joins is there for the next
    ones too, and is left at the end of the block."""
    if _SHARED.get() is not None:
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.callback(_SHARED.reset, _SHARED.set(stack))
        yield


@contextlib.contextmanager
def ray_session(
    address: str | None = None,
    *,
    min_cpus: int = 2,
    images: int | None = None,
    model_bound: bool = False,
    network_bound: bool = False,
    on_gpu: bool = False,
) -> Iterator[None]:
    """Join the Ray that runs already or lives at ``address``; else start one and stop it.

    An embedded Ray asks for a token, and its dashboard listens on loopback. A job on few images,
    for which nobody named a cluster, does without: see ``raynef.cluster.place``.

    Args:
        address: of a cluster, or 'auto'; by default that of RAY_ADDRESS, which Ray sets for a
            submitted job to the job's own cluster; without one an embedded Ray is started.
        min_cpus: logical CPUs that the job needs, so that it cannot wait for itself. An embedded
            Ray has at least so many: more workers than cores run slower, they do not hang.
        images: of the job; None for one that needs Ray.
        model_bound: almost all of the job's time is one model's. On a machine without GPUs that
            takes all cores in any process, and an embedded Ray would only take some of them away.
        network_bound: most of it is that of networks; what else there is, reading and decoding
            above all, a few threads do as well as Ray's tasks where cores are few.
        on_gpu: networks are a good part of it. On an Apple GPU, which Ray lends to nobody, they
            are quicker in this process than on all cores under Ray.

    Raises:
        UserError: a job that needs Ray, or a cluster, where this process alone was asked for; a
            cluster that cannot be reached, is too small, or lives on another machine
            while there is no token for it.
        TimeoutError: a machine so busy that an embedded Ray cannot start.
    """
    if in_this_process():
        yield
        return
    work = {"model_bound": model_bound, "network_bound": network_bound, "on_gpu": on_gpu}
    if is_small(address, images, **work):
        terminable()
        with this_process():
            yield
        return
    import ray

    if ray.is_initialized():
        _require_cpus(min_cpus)
        yield
        return
    private.set_environment(private.QUIET)
    for name in ("ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    address = address or _address_of_environment()
    shared = _SHARED.get()
    with contextlib.nullcontext(shared) if shared else contextlib.ExitStack() as stack:
        if address is not None:
            tokens.require_token(address)
            _require_answer(address)
            _join(address)
            stack.callback(ray.shutdown)
            terminable()
            _require_cpus(min_cpus)
        else:
            tokens.ensure_token()
            scratch = Path(tempfile.mkdtemp(prefix="raynef-"))
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            logger.info("starting an embedded Ray")
            stack.callback(ray.shutdown)
            _start_ray(max(os.cpu_count() or 1, min_cpus), scratch)
            terminable()
        yield


def is_small(
    address: str | None,
    images: int | None,
    *,
    model_bound: bool = False,
    network_bound: bool = False,
    on_gpu: bool = False,
) -> bool:
    """Whether a job runs in this process alone; arguments and errors as of ``ray_session``."""
    if place() == "local":
        if address is not None:
            raise UserError(f"--local runs in this process, and --address {address} on a cluster")
        if images is None:
            raise UserError("--local: this job runs on Ray alone")
        return True
    if place() == "ray" or images is None or address is not None:
        return False
    if images > SMALL:
        few = (os.cpu_count() or 1) <= FEW_CORES and images <= SMALL_ON_FEW_CORES
        alone = (model_bound or (network_bound and few)) and num_cuda() == 0
        if not alone and not (on_gpu and choose_device().kind == "mps"):
            return False
    there = _ray_runs() or _address_of_environment() is not None
    return not there and num_cuda() <= 1  # one process has one GPU


def _ray_runs() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def _require_answer(address: str) -> None:
    """Ray itself would wait for minutes where nothing listens."""
    try:
        url = urlsplit(address if "://" in address else f"//{address}")
        host, port = url.hostname, url.port
    except ValueError as error:
        raise UserError(f"{address!r} is no address of a Ray cluster: {error}") from error
    if host is None or port is None:  # 'auto', or a cluster by its name
        return
    try:
        socket.create_connection((host, port), timeout=_ANSWER_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"no Ray cluster answers at {address!r}: {reason}") from error


def _join(address: str) -> None:
    """Connect to a cluster. Raises UserError: nobody answers, or the token is not the cluster's.

    Ray's core writes a line a second about a token that is refused, then says only that nobody
    answered: what it wrote is held back, and passed on once it has connected.
    """
    import ray
    from ray.exceptions import AuthenticationError

    with tempfile.TemporaryFile() as said:
        try:
            with stderr_to(said.fileno()):
                ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        except AuthenticationError as error:
            raise UserError(tokens.token_refused(address)) from error
        except (ConnectionError, RuntimeError, ValueError) as error:
            said.seek(0)
            if private.is_refused_token(said.read()):
                raise UserError(tokens.token_refused(address)) from error
            hint = "" if tokens.sends_token() else f"; {tokens.IF_TOKEN}"
            raise UserError(f"no Ray cluster answers at {address!r}: {error}{hint}") from error
        said.seek(0)
        sys.stderr.write(said.read().decode(errors="replace"))


def _start_ray(num_cpus: int, scratch: Path) -> None:
    """An embedded Ray. Raises TimeoutError where the machine is too busy for it, twice."""
    import ray

    for attempt in range(2):
        try:
            # Ray's core says on stderr that it was told to say nothing; what fails raises anyway.
            with Path(os.devnull).open("w") as nowhere, stderr_to(nowhere.fileno()):
                ray.init(
                    num_cpus=num_cpus,
                    include_dashboard=True,  # the State API, or Train leaks placement groups
                    dashboard_host="127.0.0.1",
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    **private.folder_of_session(scratch / str(attempt)),
                )
            return
        except Exception as error:  # Ray raises it bare; it gives its processes 30 s
            ray.shutdown()
            if not private.is_slow_start(error):
                raise
            logger.warning("Ray did not start within its 30 s (load %.0f)", os.getloadavg()[0])
    raise TimeoutError("Ray cannot start: the machine is too busy. Run the same command later")


def _address_of_environment() -> str | None:
    """RAY_ADDRESS, where it names a cluster."""
    address = os.environ.get("RAY_ADDRESS")
    if address and address.startswith(("http://", "https://")):
        raise UserError(
            f"RAY_ADDRESS is {address}, where jobs are handed in: raynef submit -- …; unset it to "
            "work on this machine"
        )
    return None if address == "local" else address or None


def _require_cpus(min_cpus: int) -> None:
    import ray

    have = ray.cluster_resources().get("CPU", 0)
    if have < min_cpus:
        raise UserError(
            f"this job needs {min_cpus} CPUs of the Ray cluster, which has {have:g}; lower "
            "train.num_workers or add nodes"
        )


def feature_actors(*, workers: int = 0) -> FeatureActors:
    """The pool: one actor for each GPU of the cluster, or for each node where there is none.

    On CPU an actor runs with as many threads as its node has cores, but reserves one of Ray's
    CPUs, so that reading and decoding always find one: a pool that held all would wait for ever.

    Args:
        workers: train workers that each run a pool of their own while they train; then each pool
            has one actor, which shares GPU or cores with the workers.
    """
    if in_this_process():
        kind, threads = choose_device().kind, torch.get_num_threads()
        gpus = int(kind == "cuda")
        return FeatureActors(1, num_cpus=1, num_gpus=gpus, threads=threads, on_mps=kind == "mps")
    resources = resources_of(FEATURES)
    gpus = gpus_for(FEATURES)
    if gpus and not workers:
        return FeatureActors(gpus, num_cpus=1, num_gpus=1, threads=1, resources=resources)
    if gpus and FEATURES in resources:  # not the workers' own
        each = gpus // workers
        share, count = (1, each) if each else (gpus / workers, 1)
        return FeatureActors(count, num_cpus=1, num_gpus=share, threads=1, resources=resources)
    if gpus:
        return FeatureActors(1, num_cpus=1, num_gpus=ACTOR_SHARE, threads=1)
    room = sum(node["Resources"].get(FEATURES, math.inf) for node in nodes_for(FEATURES))
    if workers > room:
        raise UserError(
            f"{workers} train workers stream features, each with an actor of its own, but nodes "
            f"for {FEATURES} take {room:g}; declare more, or lower train.num_workers"
        )
    return FeatureActors(
        1 if workers else len(nodes_for(FEATURES)),
        num_cpus=1,
        num_gpus=0,
        threads=_threads(max(1, workers)),
        resources=resources,
        elsewhere=len(_cpu_nodes()) > 1,
    )


def worker_gpu_share(*, streams: bool) -> float:
    """Of a GPU, what each train worker reserves where there are GPUs.

    Args:
        streams: the workers run feature actors of their own while they train. These share the
            workers' GPUs, unless nodes declare themselves for features.
    """
    if not streams or in_this_process():
        return 1.0
    return 1.0 if resources_of(FEATURES) else WORKER_SHARE


def resources_of(role: str) -> dict[str, float]:
    """What an actor or worker asks for, so that it lands on a node that is there for its role.

    Nodes declare a role as a custom resource, such as ``ray start --resources
    '{"raynef_features": 8}'`` for at most eight feature actors. Where none does, any node will do.
    """
    return {role: 1.0} if any(role in node["Resources"] for node in _cpu_nodes()) else {}


def gpus_for(role: str) -> int:
    """GPUs that Ray knows of, on the nodes for a role, as far as the role may take them; none
    where RAYNEF_DEVICE names another device than theirs."""
    if not allows_cuda():
        return 0
    resources = [node["Resources"] for node in nodes_for(role)]
    return sum(int(min(r.get("GPU", 0), r.get(role, math.inf))) for r in resources)


def nodes_for(role: str) -> list[dict]:
    """Nodes that have a CPU to give and declare the role, or all of them where none does."""
    nodes = _cpu_nodes()
    return [node for node in nodes if role in node["Resources"]] or nodes


def threads_of_each(jobs: int) -> int:
    """Threads for each of some trials that run side by side, spread over their nodes."""
    return _threads(math.ceil(jobs / len(nodes_for(TRAIN))))


def _threads(sharers: int) -> int:
    """Of each of some that share the cores of the smallest node, at least 1."""
    fewest = min(node["Resources"]["CPU"] for node in _cpu_nodes())
    return max(1, int(min(fewest, os.cpu_count() or 1)) // sharers)


def _cpu_nodes() -> list[dict]:
    import ray

    return [n for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU", 0) >= 1]
