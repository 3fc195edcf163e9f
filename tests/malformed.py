"""Requests that no client should make, by number: what each does depends on the number alone."""

import contextlib
import random
import socket
import struct
import time
import zlib

TIMEOUT_S = 60.0


def attack(port: int, number: int, image: bytes, *, slow_s: float = 0.05) -> int | None:
    """Make one; the status that came back, None where the connection ended without.

    Args:
        port: of loopback.
        number: of the request.
        image: one that could be segmented, to be spoilt.
        slow_s: seconds that a slow client waits.
    """
    draws = random.Random(number)
    kind = _KINDS[number % len(_KINDS)]
    address = ("127.0.0.1", port)
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(address, timeout=TIMEOUT_S) as connection,
    ):
        kind(connection, draws, image, slow_s)
        return _status(connection)
    return None


def _status(connection: socket.socket) -> int | None:
    line = b""
    while b"\r\n" not in line:
        part = connection.recv(4096)
        if not part:
            return None
        line += part
    return int(line.split()[1])


def _post(
    connection: socket.socket,
    body: bytes,
    *,
    kind: str = "image/png",
    query: str = "",
    length: int | str | None = None,
) -> None:
    head = (
        f"POST /predict{query} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)


def _noise(connection, draws, image, slow_s):
    _post(connection, draws.randbytes(draws.randrange(4000)))


def _truncated(connection, draws, image, slow_s):
    _post(connection, image[: draws.randrange(len(image))])


def _spoilt(connection, draws, image, slow_s):
    spoilt = bytearray(image)
    for _ in range(draws.randrange(1, 30)):
        spoilt[draws.randrange(len(spoilt))] = draws.randrange(256)
    _post(connection, bytes(spoilt))


def _other_type(connection, draws, image, slow_s):
    _post(connection, image, kind=draws.choice(["text/html", "", "application/json", "a" * 5000]))


def _query(connection, draws, image, slow_s):
    values = ["cut=x", "cut=-1", "format=gif", "labels=", "cut=99999999999999999999", "masks=%00"]
    _post(connection, image, query="?" + draws.choice(values))


def _aborted(connection, draws, image, slow_s):
    _post(connection, image[: len(image) // 2], length=len(image))
    connection.shutdown(socket.SHUT_WR)


def _reset(connection, draws, image, slow_s):
    _post(connection, image[: len(image) // 2], length=len(image))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    raise ConnectionResetError


def _left(connection, draws, image, slow_s):
    """A whole request, but nobody waits for the answer."""
    _post(connection, image)
    connection.close()
    raise ConnectionResetError


def _short_length(connection, draws, image, slow_s):
    _post(connection, image, length=len(image) // 2)


def _no_length(connection, draws, image, slow_s):
    _post(connection, image, length=draws.choice(["-1", "x", "1e9", "9" * 40, ""]))


def _too_long(connection, draws, image, slow_s):
    _post(connection, image, length=1 << 40)


def _chunks(connection, draws, image, slow_s):
    head = (
        "POST /predict HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Type: image/png\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    sizes = [b"zz", b"-5", b"ffffffffffffffffffff", b"5;x", b"0"]
    connection.sendall(head.encode() + draws.choice(sizes) + b"\r\n" + image[:200] + b"\r\n")
    connection.shutdown(socket.SHUT_WR)


def _no_http(connection, draws, image, slow_s):
    connection.sendall(
        draws.choice([draws.randbytes(300), b"\x16\x03\x01\x02\x00\x01", b"\r\n" * 9])
    )
    connection.shutdown(socket.SHUT_WR)


def _headers(connection, draws, image, slow_s):
    many = "".join(f"X-{n}: {'y' * 900}\r\n" for n in range(100))
    connection.sendall(f"POST /predict HTTP/1.1\r\nHost: here\r\n{many}\r\n".encode())
    connection.shutdown(socket.SHUT_WR)


def _form(connection, draws, image, slow_s):
    kind = "multipart/form-data" + draws.choice(["", "; boundary=", "; boundary=edge", "; b=\x01"])
    bodies = [
        b"",
        b"--edge",
        b"--edge\r\n\r\n" + image,
        b"--edge\r\nContent-Disposition: x\r\n\r\n",
    ]
    _post(connection, draws.choice(bodies), kind=kind)


def _bomb(connection, draws, image, slow_s):
    side = draws.choice([3000, 20_000, 60_000])
    _post(connection, bomb(side))


def _slow(connection, draws, image, slow_s):
    _post(connection, image[:50], length=len(image))
    time.sleep(slow_s)
    connection.shutdown(socket.SHUT_WR)


def _silent(connection, draws, image, slow_s):
    connection.sendall(b"POST /predict HTTP/1.1\r\nHost:")
    time.sleep(slow_s)
    connection.shutdown(socket.SHUT_WR)


_KINDS = [
    *(_noise, _truncated, _spoilt, _other_type, _query, _aborted, _reset, _left, _short_length),
    *(_no_length, _too_long, _chunks, _no_http, _headers, _form, _bomb, _slow, _silent),
]
NUM_KINDS = len(_KINDS)


def bomb(side: int) -> bytes:
    """A PNG of few bytes that says it has side² pixels; its data ends early."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1 << 16))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
