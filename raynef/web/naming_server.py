"""An HTTP server for one person's browser on this machine, and for nobody else.

It listens on 127.0.0.1. Every path begins with a random token, which only the address that is
printed has: other users of the machine do not get past it. The Host must be that of loopback, so
that no other site's name leads here (DNS rebinding); a change must be JSON, sent by the page's own
origin, so that no other site's form or script makes one.
"""

import hmac
import json
import logging
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from raynef.core.errors import UserError

logger = logging.getLogger("raynef")

LOOPBACK = "127.0.0.1"
MOST_BYTES = 1 << 20
"""Of a request's body."""
_HOSTS = (LOOPBACK, "localhost")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Reply:
    """What is answered.

    Attributes:
        body: its bytes.
        kind: its media type.
        status: of HTTP.
        keep: whether the browser may keep it for good: what is at this path never changes.
    """

    body: bytes
    kind: str
    status: int = HTTPStatus.OK
    keep: bool = False


def json_reply(value: Any, status: int = HTTPStatus.OK) -> Reply:
    """A value as JSON."""
    text = json.dumps(value, ensure_ascii=False)
    return Reply(text.encode(), "application/json", status)


def error_reply(status: int, words: str) -> Reply:
    """A mistake, in words, as JSON."""
    return json_reply({"error": words}, status)


Get = Callable[[str], Reply | None]
"""The answer to a path below the token; None where there is nothing."""
Post = Callable[[str, Any], Reply | None]
"""Likewise to a path and the JSON value that was sent. May raise UserError: its line is sent."""


class LoopbackServer(ThreadingHTTPServer):
    """Serves until ``shutdown``; each request in a thread of its own.

    Args:
        get, post: the answers.
        port: 0 for any that is free.

    Raises:
        UserError: the port is taken, or none that one may take.
    """

    daemon_threads = True

    def __init__(self, get: Get, post: Post, *, port: int = 0) -> None:
        self.get, self.post, self.token = get, post, secrets.token_urlsafe(24)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise UserError(f"port {port} of {LOOPBACK} cannot be used: {why}") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes on to the next page breaks connections off, which is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            logger.exception("a request of the page failed")

    @property
    def address(self) -> str:
        """Of its page, with the token."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackServer  # pyright: ignore[reportIncompatibleVariableOverride]  # as it is made
    protocol_version = "HTTP/1.1"
    server_version = "raynef"
    sys_version = ""
    timeout = 60.0  # seconds that a connection may be silent
    wbufsize = -1  # head and body in one packet: two wait 40 ms for one another

    def do_GET(self) -> None:
        path = self._below_token()
        if path is not None:
            self._send(self.server.get(path) or error_reply(404, f"nothing is at {path!r}"))

    def do_POST(self) -> None:
        path = self._below_token()
        if path is None:
            return
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != self.headers.get("Host"):
            self._refuse(HTTPStatus.FORBIDDEN, "a change by a page of another origin")
            return
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a change is sent as application/json")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
            return
        if int(length) > MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MOST_BYTES} bytes")
            return
        try:
            value = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            self._send(error_reply(HTTPStatus.BAD_REQUEST, f"not JSON: {error}"))
            return
        try:
            reply = self.server.post(path, value)
        except UserError as error:
            reply = error_reply(HTTPStatus.BAD_REQUEST, str(error))
        except OSError as error:
            logger.exception("a name was not saved")
            reply = error_reply(HTTPStatus.INTERNAL_SERVER_ERROR, f"not saved: {error}")
        self._send(reply or error_reply(HTTPStatus.NOT_FOUND, f"nothing is at {path!r}"))

    def _below_token(self) -> str | None:
        """The path below the token; None after a refusal."""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if host not in _HOSTS:
            self._refuse(HTTPStatus.FORBIDDEN, f"the Host must be {' or '.join(_HOSTS)}")
            return None
        token, _, path = urlsplit(self.path).path.lstrip("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "open the address that raynef name printed")
            return None
        return unquote(path)

    def _refuse(self, status: int, words: str) -> None:
        """An answer to a request that is not read to its end."""
        self.close_connection = True
        self._send(error_reply(status, words))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        keep = "private, max-age=31536000, immutable" if reply.keep else "no-store"
        self.send_header("Cache-Control", keep)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests: the terminal is for the address."""
