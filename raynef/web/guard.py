"""What stands before the service: the token, limits of size, number and time of requests."""

import asyncio
import contextlib
import hmac
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raynef.web.serve_metrics import ServeMetrics

T = TypeVar("T")

OPEN = frozenset({"/", "/docs", "/healthz", "/openapi.json"})
"""Paths that ask for no token: they tell nothing of images or of the segmenter."""
GONE = 499
"""Status, in the metrics alone, of a request whose client has left."""
_ASK = {"WWW-Authenticate": "Bearer"}
RETRY = {"Retry-After": "1"}  # seconds
_MOST_PARTS = 8  # of a form


@dataclass(frozen=True)
class Limits:
    """What a request may take.

    Attributes:
        body_bytes: of its body.
        concurrent: requests that are read, segmented or waiting at once.
        body_s: seconds in which its body must have come.
        answer_s: seconds for its answer, from then on.
    """

    body_bytes: int = 32 << 20
    concurrent: int = 32
    body_s: float = 30.0
    answer_s: float = 60.0


def error(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An answer that says what is wrong."""
    return JSONResponse({"error": reason}, status, headers)


class Guard:
    """Asks for the token before anything is read, and counts every answer.

    Args:
        app: what answers those who may ask.
        token: of those; None where all may.
        metrics: that are kept.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, metrics: ServeMetrics) -> None:
        self._app, self._metrics = app, metrics
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = GONE

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        may = self._expected is None or scope["path"] in OPEN or self._has_token(scope)
        app = self._app if may else error(401, "a token is needed: Authorization: Bearer …", _ASK)
        try:
            await app(scope, receive, counted)
        finally:
            self._metrics.count(scope["path"], status)

    def _has_token(self, scope: Scope) -> bool:
        given = Headers(scope=scope).get("authorization", "")
        return hmac.compare_digest(given.encode("latin-1"), self._expected or b"")


class Gate:
    """Lets so many requests in at once; the next ones are told to come again."""

    def __init__(self, most: int, metrics: ServeMetrics) -> None:
        self._most, self._inside, self._metrics = most, 0, metrics

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Raises HTTPException 503."""
        if self._inside >= self._most:
            raise HTTPException(503, f"busy with {self._most} requests; try again", RETRY)
        self._inside += 1
        self._metrics.in_flight.set(self._inside)
        try:
            yield
        finally:
            self._inside -= 1
            self._metrics.in_flight.set(self._inside)


async def image_of(request: Request, limits: Limits) -> bytes:
    """The image in a request: its whole body, or the file of its form.

    Raises:
        HTTPException: 400, 408, 413 or 415, with what is wrong.
        ClientDisconnect: nobody waits any more.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = kind == "multipart/form-data"
    if not form and not kind.startswith("image/"):
        given = f"got {kind[:60]!r}" if kind else "got none"
        raise HTTPException(415, f"Content-Type must be image/… or multipart/form-data, {given}")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.body_bytes:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_s):
            body = await _body(request, limits)
    except TimeoutError:
        raise HTTPException(408, f"the body did not come within {limits.body_s:g} s") from None
    encoded = await _file_of(request, body) if form else body
    if not encoded:
        raise HTTPException(400, "the image is empty")
    return encoded


async def _body(request: Request, limits: Limits) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limits.body_bytes:
            raise _too_large(limits)
        parts.append(part)
    return b"".join(parts)


def _too_large(limits: Limits) -> HTTPException:
    return HTTPException(413, f"the body has more than {limits.body_bytes} bytes")


async def _file_of(request: Request, body: bytes) -> bytes:
    """The only file of a form. Raises HTTPException 400."""

    async def received() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    whole = Request(request.scope, received)
    try:
        async with whole.form(max_files=1, max_fields=_MOST_PARTS) as form:
            files = [part for part in form.values() if isinstance(part, UploadFile)]
            if len(files) == 1:
                return await files[0].read()
    except HTTPException as wrong:
        raise HTTPException(400, f"the form cannot be read: {wrong.detail}") from wrong
    raise HTTPException(400, "the form must hold one file: the image")


async def unless_gone(request: Request, work: Awaitable[T], limits: Limits) -> T:
    """What work gives, as long as the client waits for it; else the work is canceled.

    Raises:
        HTTPException: 504, it takes too long.
        ClientDisconnect: nobody waits any more.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_left(request.receive))
    try:
        await asyncio.wait(
            (task, gone), timeout=limits.answer_s, return_when=asyncio.FIRST_COMPLETED
        )
        if task.done():
            return task.result()
        if gone.done():
            raise ClientDisconnect
        raise HTTPException(504, f"no answer within {limits.answer_s:g} s", RETRY)
    finally:
        task.cancel()
        gone.cancel()


async def _left(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
