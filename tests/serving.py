"""A service in this process: its application on a real socket, with a segmenter beside it."""

import asyncio
import contextlib
import http.client
import io
import json
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvicorn
from PIL import Image
from starlette.types import ASGIApp

from raynef.models.segmenter import Segmenter
from raynef.web.answers import Answer, Refusal, Wanted
from raynef.web.serve import listening
from raynef.web.served import Served

PHOTO = {"Content-Type": "image/png"}


class Here:
    """A backend without Ray.

    Attributes:
        held: images wait here while it is not set.
        down: why it is in trouble.
        canceled: images that nobody waited for.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._served = Served(segmenter, threads=1, most_at_once=4, most_pixels=100_000)
        self.held, self.down, self.canceled = threading.Event(), None, 0
        self.held.set()

    async def predict(self, encoded: bytes, wanted: Wanted) -> Answer | Refusal:
        try:
            while not self.held.is_set():
                await asyncio.sleep(0.01)
            return await self._served.answer(encoded, wanted)
        except asyncio.CancelledError:
            self.canceled += 1
            raise

    async def trouble(self) -> str | None:
        return self.down


@contextlib.contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    """The application on a free port of loopback."""
    listener = listening("127.0.0.1", 0)
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return self.json["error"]

    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(self.body))


def ask(
    port: int,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    headers: dict[str, str] | None = None,
    *,
    method: str | None = None,
) -> Reply:
    """One request on a connection of its own; a body in pieces is sent in chunks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        method = method or ("GET" if body is None else "POST")
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def form(**files: bytes) -> tuple[bytes, dict[str, str]]:
    """Files as multipart/form-data: a body and its headers."""
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="{name}"; filename="{name}.png"\r\n'
        "Content-Type: image/png\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files.items()
    ]
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    return b"".join(parts) + b"--edge--\r\n", headers


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return buffer.getvalue()
