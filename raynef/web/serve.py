"""A segmenter over HTTP, until somebody stops it: ``raynef serve``."""

import contextlib
import logging
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import Any

from raynef.cluster.session import ray_session
from raynef.cluster.tokens import is_loopback
from raynef.core.errors import UserError, require
from raynef.core.extras import has_package
from raynef.models.segmenter import Segmenter, segmenter_folder
from raynef.stores.run import RunFolder

logger = logging.getLogger("raynef")

TOKEN = "RAYNEF_TOKEN"
_NEEDS = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_SHORTEST = 16  # characters of a token
_MOST_CONNECTIONS = 500  # open at once, below the usual limit of files
_END_S = 5  # that requests under way have when the service ends


def serve(
    run: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Path | None = None,
    replicas: int = 1,
    max_concurrent: int = 32,
    max_megabytes: int = 32,
    max_megapixels: int = 50,
    max_batch: int = 8,
    timeout_s: float = 60.0,
    address: str | None = None,
) -> dict[str, Any]:
    """Answer requests for segments until Ctrl-C or SIGTERM; the result of ``raynef serve``.

    Args:
        run: its folder, or a segmenter's.
        host: to listen on; any but loopback demands a token, and one is made where none is given.
        port: 0 for any that is free.
        token_file: of the token; else ``RAYNEF_TOKEN`` has it.
        replicas: processes that segment.
        max_concurrent: requests at once.
        max_megabytes, max_megapixels: of an image, encoded and decoded.
        max_batch: images that a replica segments at once.
        timeout_s: seconds for an answer.
        address: of a Ray cluster.

    Raises:
        UserError: no segmenter, or one that is still being trained; a port that cannot be used; no
            token that will do; or the extra ``serve`` is not installed.
    """
    _require_extra()
    for name, value in {
        "--replicas": replicas,
        "--max-concurrent": max_concurrent,
        "--max-megabytes": max_megabytes,
        "--max-megapixels": max_megapixels,
        "--max-batch": max_batch,
    }.items():
        require(value >= 1, name, "at least 1", value)
    require(timeout_s > 0, "--timeout", "above 0", timeout_s)
    folder = _trained(Path(run)).absolute()
    token = token_for(host, token_file)

    import uvicorn

    from raynef.web.answers import Meaning
    from raynef.web.deployment import Replication, deployed
    from raynef.web.guard import Limits
    from raynef.web.serve_app import application
    from raynef.web.serve_metrics import ServeMetrics

    with contextlib.closing(listening(host, port)) as listener:
        shown = _shown(listener)
        meaning = Meaning.of(Segmenter.load(folder))
        asked = Replication(
            str(folder),
            replicas=replicas,
            concurrent=max_concurrent,
            batch_size=max_batch,
            most_pixels=max_megapixels * 1_000_000,
        )
        metrics = ServeMetrics()
        limits = Limits(max_megabytes << 20, max_concurrent, answer_s=timeout_s)
        with ray_session(address, min_cpus=replicas), deployed(asked) as backend:
            config = uvicorn.Config(
                application(backend, meaning, limits, token=token, metrics=metrics),
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_MOST_CONNECTIONS + max_concurrent,
                timeout_graceful_shutdown=_END_S,
            )
            logger.info("serve: %s/docs describes the requests; Ctrl-C ends it", shown)
            with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again at its end
                uvicorn.Server(config).run(sockets=[listener])
            logger.info("serve: ends")
    return {
        "run": str(Path(run).absolute()),
        "address": shown,
        "num_images": metrics.num_images,
    }


def token_for(host: str, file: Path | None) -> str | None:
    """The token that requests must bring; None where they need none.

    One that is made is written to stderr by itself, not to the log.

    Raises:
        UserError: a file that cannot be read, or a token that is too short or no single word.
    """
    token, source = os.environ.get(TOKEN, "").strip(), TOKEN
    if file is not None:
        source = f"--token-file {file}"
        try:
            token = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{source} cannot be read: {error}") from error
        if file.stat().st_mode & 0o077:
            logger.warning("%s can be read by others: chmod 600 %s", source, file)
    if token or file is not None:
        if len(token) < _SHORTEST or not token.isascii() or len(token.split()) != 1:
            raise UserError(f"{source}: a token is one word of at least {_SHORTEST} characters")
        return token
    if is_loopback(f"[{host}]" if ":" in host else host):
        return None
    made = secrets.token_urlsafe(32)
    sys.stderr.write(f"token, for this service only ({TOKEN} sets another): {made}\n")
    return made


def listening(host: str, port: int) -> socket.socket:
    """A socket that is bound. Raises UserError: the port is taken, or the host is not here."""
    require(0 <= port <= 65535, "--port", "0 to 65535", port)
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen()  # else another one may bind it too
    except OSError as error:
        made.close()
        reason = error.strerror or str(error)
        raise UserError(f"--host {host} --port {port} cannot be used: {reason}") from error
    return made


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _trained(run: Path) -> Path:
    """The folder of a finished segmenter."""
    folder = RunFolder(run)
    if folder.record_file.is_file() and folder.finished() is None:
        raise UserError(
            f"{run} is not trained to its end (raynef status {run} says where it stands); the "
            "command that trains it, given again, resumes"
        )
    return segmenter_folder(run)


def _require_extra() -> None:
    missing = [name for name in _NEEDS if not has_package(name)]
    if missing:
        raise UserError(
            f"raynef serve needs {', '.join(missing)}: pip install 'raynef[serve]', or in a "
            "checkout pip install '.[serve]'"
        )
