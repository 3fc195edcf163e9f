"""Hand a command to a Ray cluster as a job: follow its log, bring back its result and status."""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynef.cluster.private import is_starting_head
from raynef.cluster.tokens import check_head
from raynef.core.errors import UserError
from raynef.ops.shipping import Parcel, Ship, runtime_env

logger = logging.getLogger("raynef")

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
_STARTING_S = 90.0
_PATIENCE = 30  # times in a row that a log may break off without a new line
_PAUSE_S = 2.0


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    job_id: str  # Ray's name of it
    status: int  # its own exit status, or 1 where it has none (stopped, lost, left running)
    line: str | None  # the JSON line that it wrote, if any


class Log:
    """The log of a job, in which Ray merges its stdout and stderr: lines to say, and the result.

    The result is the last line that is a JSON object; it is held back from what is said. Text may
    come in pieces that end anywhere.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self.seen = 0
        self.result: str | None = None
        self._say, self._rest = say, ""

    def feed(self, text: str) -> None:
        """The next piece."""
        self.seen += len(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._hear(line)

    def close(self) -> None:
        """There is no next piece."""
        if self._rest:
            self._hear(self._rest)
        self._rest = ""

    def _hear(self, line: str) -> None:
        if not _is_object(line):
            self._say(line)
            return
        if self.result is not None:
            self._say(self.result)
        self.result = line


def _is_object(line: str) -> bool:
    with contextlib.suppress(ValueError):
        return line.startswith("{") and isinstance(json.loads(line), dict)
    return False


def submit(
    parcel: Parcel,
    *,
    address: str | None = None,
    ship: Ship = "package",
    say: Callable[[str], object],
    stop: Callable[[str], bool],
    connect: Callable[..., Any] | None = None,
) -> Outcome:
    """Run a command on the cluster behind a head's Jobs API, and wait for its end.

    Args:
        parcel: the command and its files.
        address: of the head's dashboard; by default RAY_API_SERVER_ADDRESS, RAY_ADDRESS, or this
            machine's.
        ship: what goes along; see ``shipping.runtime_env``.
        say: hears the job's log, line by line.
        stop: asked on Ctrl-C, with the command line that follows the job, whether to end it; else
            it is left running.
        connect: makes the client; Ray's own if None.

    Raises:
        UserError: no head there, or one that is not safe to talk to; see ``tokens.check_head``.
        OSError: the head would not take the job, or was lost while it ran.
    """
    given = (os.environ.get(name) for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"))
    address = (address or next(filter(None, given), DEFAULT_ADDRESS)).rstrip("/")
    client = _connect(connect, address)
    job_id = f"raynef-{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory(prefix="raynef-submit-") as folder:
        _hand_in(
            client,
            entrypoint=shlex.join(["python", "-m", "raynef", *parcel.command]),
            submission_id=job_id,
            runtime_env=runtime_env(parcel, ship, Path(folder)),
        )
    logger.info("job %s is on its way to %s", job_id, address)
    log = Log(say)
    while True:
        try:
            info = asyncio.run(_follow(client, job_id, log))
            break
        except KeyboardInterrupt:
            follow = f"ray job logs --follow {job_id} --address {address}"
            if not stop(follow):
                logger.info("job %s goes on. To follow it: %s", job_id, follow)
                logger.info("to stop it: ray job stop %s --address %s", job_id, address)
                return Outcome(job_id, 1, None)
            logger.info("stopping job %s", job_id)
            client.stop_job(job_id)
    log.close()
    return Outcome(job_id, _exit_status(info), log.result)


def _connect(connect: Callable[..., Any] | None, address: str) -> Any:
    headers = check_head(address)
    if connect is None:
        os.environ["RAY_API_SERVER_ADDRESS"] = address  # Ray lets it override what it is given
        from ray.job_submission import JobSubmissionClient as connect

        logging.getLogger(connect.__module__).setLevel(logging.WARNING)  # "WebSocket closed"
    try:
        return connect(address, headers=headers)
    except (ConnectionError, RuntimeError) as error:  # such as a Ray of another age
        raise UserError(f"the head at {address} does not take jobs: {error}") from error


def _hand_in(client: Any, **job: Any) -> None:
    """Submit; a head that has only just started is asked again for a while. Raises OSError."""
    until = time.monotonic() + _STARTING_S
    while True:
        try:
            client.submit_job(**job)
            return
        except RuntimeError as error:
            if not is_starting_head(error) or time.monotonic() > until:
                raise OSError(f"the head does not take the job: {str(error).strip()}") from error
        time.sleep(_PAUSE_S)


async def _follow(client: Any, job_id: str, log: Log) -> Any:
    """Feed the log until the job has ended; its details. A log that breaks off is taken up again.

    Raises OSError where nothing more comes of it.
    """
    failures = 0
    while True:
        before = log.seen
        try:
            skip = before  # a tail starts at the beginning
            async for text in client.tail_job_logs(job_id):
                log.feed(text[skip:])
                skip = max(0, skip - len(text))
            info = client.get_job_info(job_id)
            if info.status.is_terminal():
                return info
        except Exception as error:  # of aiohttp, requests or Ray, for a network that fails
            failures = failures + 1 if log.seen == before else 1
            if failures > _PATIENCE:
                raise OSError(f"lost the head of job {job_id}, which may go on: {error}") from error
            if failures == 1:
                logger.warning("the log of job %s broke off (%s); trying again", job_id, error)
        await asyncio.sleep(_PAUSE_S)


def _exit_status(info: Any) -> int:
    """The job's own exit status; as a shell counts it where a signal ended it."""
    code = info.driver_exit_code
    if info.status.value == "SUCCEEDED":
        return 0
    if info.status.value == "STOPPED" or not code:
        logger.error("raynef: job %s: %s", info.status.value.lower(), info.message)
        return 1
    return code if code > 0 else 128 - code
