"""As much of S3 as Arrow's client asks for, over a folder; it keeps what it was asked."""

import io
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
        failures: so many of the next requests to read or write an object are answered by 503.
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
    parts: dict[str, dict[int, bytes]] = {}  # of uploads that are not finished

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        do_HEAD = do_GET

        def do_PUT(self) -> None:
            """An object, or a part of one that is finished by POST."""
            key, query = self._key()
            body = self._body()
            state.asked.append(f"PUT {key}")
            if state.denies or state.failures:
                state.failures = max(0, state.failures - 1)
                self._send(403 if state.denies else 503, b"")
            elif "partNumber" in query:
                parts[query["uploadId"]][int(query["partNumber"])] = body
                self._send(200, b"")
            else:
                if not key.endswith("/"):  # Arrow's mark of a folder
                    _store(folder / key, body)
                self._send(200, b"")

        def do_POST(self) -> None:
            key, query = self._key()
            self._body()
            if "uploads" in query:
                upload = f"upload{len(parts)}"
                parts[upload] = {}
                answer = f"<UploadId>{upload}</UploadId>"
                self._reply("InitiateMultipartUploadResult", answer)
            else:
                found = parts[query["uploadId"]]
                _store(folder / key, b"".join(found[number] for number in sorted(found)))
                state.asked.append(f"POST {key}")
                self._reply("CompleteMultipartUploadResult", '<ETag>"0"</ETag>')

        def do_DELETE(self) -> None:
            key, _ = self._key()
            state.asked.append(f"DELETE {key}")
            (folder / key).unlink(missing_ok=True)
            self._send(204, b"")

        def _body(self) -> bytes:
            """What was sent, perhaps in chunks, each after a line with its length; no trailer."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            else:
                body = _chunks(self.rfile)
            if "aws-chunked" in self.headers.get("Content-Encoding", ""):
                body = _chunks(io.BytesIO(body))
            return body

        def _key(self) -> tuple[str, dict[str, str]]:
            url = urlsplit(self.path)
            query = parse_qs(url.query, keep_blank_values=True)
            key = unquote(url.path).lstrip("/").partition("/")[2]
            return key, {name: values[0] for name, values in query.items()}

        def _reply(self, kind: str, inside: str) -> None:
            space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
            body = f'<?xml version="1.0" encoding="UTF-8"?><{kind} {space}>{inside}</{kind}>'
            self._send(200, body.encode())

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
            if self.command in ("GET", "POST"):
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


def _store(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def _chunks(stream: io.BufferedIOBase) -> bytes:
    found = []
    while length := int(stream.readline().partition(b";")[0], 16):
        found.append(stream.read(length))
        stream.readline()
    while stream.readline().strip():  # a checksum, perhaps
        pass
    return b"".join(found)


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
