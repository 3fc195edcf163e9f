"""As much of S3 as Arrow's client asks for, over a folder; it keeps what it was asked."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass
class S3:
    """A server with one bucket, named ``bucket``.

    Attributes:
        folder: what the bucket holds.
        port: of the loopback interface.
        asked: "METHOD key" of each request; "LIST prefix" of listings.
        failures: so many of the next requests for an object's content are answered by 503.
        denies: answer everything by 403.
    """

    folder: Path
    port: int = 0
    asked: list[str] = field(default_factory=list)
    failures: int = 0
    denies: bool = False

    def address(self, path: str = "") -> str:
        """Of a path in the bucket."""
        options = f"region=us-east-1&scheme=http&endpoint_override=127.0.0.1:{self.port}"
        return f"s3://user:s3cret@bucket{'/' if path else ''}{path}?{options}"


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """Serve a folder until the end of the block."""
    state = S3(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self) -> None:
            url = urlsplit(self.path)
            bucket, _, key = unquote(url.path).lstrip("/").partition("/")
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            path = folder / key
            if not key and "list-type" in query:
                state.asked.append(f"LIST {query.get('prefix', '')}")
                status, body = 200, _listing(folder, query)
            else:
                state.asked.append(f"{self.command} {key}")
                found = bucket == "bucket" and (not key or path.is_file())
                status, body = (200, path.read_bytes() if key else b"") if found else (404, b"")
            if self.command == "GET" and key and state.failures:
                state.failures -= 1
                status, body = 503, b""
            if state.denies:
                status, body = 403, b""
            self._send(status, body)

        def _send(self, status: int, body: bytes) -> None:
            size = len(body)
            if status == 200 and "Range" in self.headers and self.command == "GET":
                first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
                body = body[int(first) : int(last or size - 1) + 1]
                status, size = 206, len(body)
            self.send_response(status)
            self.send_header("Content-Length", str(size))
            self.send_header("Last-Modified", formatdate(0, usegmt=True))
            self.send_header("ETag", '"0"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def _listing(folder: Path, query: dict[str, str]) -> bytes:
    """ListObjectsV2, in one page."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    keys = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    contents, common = [], {}
    for key in keys:
        if not key.startswith(prefix):
            continue
        inner, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        if found:
            common[prefix + inner + delimiter] = True
        else:
            size = (folder / key).stat().st_size
            contents.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size>"
                "<LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>"
            )
    folders = "".join(
        f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>" for p in common
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult '
        'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>'
        f"<Prefix>{escape(prefix)}</Prefix><KeyCount>{len(contents) + len(common)}</KeyCount>"
        f"<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{''.join(contents)}{folders}"
        "</ListBucketResult>"
    ).encode()
