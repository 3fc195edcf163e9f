"""A command on a pseudo-terminal, as a person runs it."""

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fcntl import ioctl


@dataclass(frozen=True)
class Seen:
    """What came to a terminal, as it was sent, and the exit status."""

    text: str
    status: int


def on_terminal(
    *arguments: str,
    columns: int = 100,
    environment: Mapping[str, str] | None = None,
    interrupt: Callable[[str], bool] = lambda text: False,
    seconds: float = 120.0,
) -> Seen:
    """Run Python with stdin, stdout and stderr on a terminal.

    Args:
        arguments: of Python.
        columns: width of the terminal.
        environment: over this process's.
        interrupt: whether what came so far is the moment for Ctrl-C, which is typed once.
        seconds: after which it is killed.
    """
    here, there = pty.openpty()
    ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    known = {"TERM": "xterm-256color", "COLUMNS": "", "LINES": "", **(environment or {})}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=there,
        stdout=there,
        stderr=there,
        env={name: value for name, value in {**os.environ, **known}.items() if value},
        start_new_session=True,
    )
    os.close(there)
    came, typed, until = b"", False, time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([here], [], [], 0.2)[0]:
            try:
                more = os.read(here, 65536)
            except OSError:  # the other end is closed
                break
            if not more:
                break
            came += more
        if not typed and interrupt(came.decode(errors="replace")):
            typed = True
            process.send_signal(signal.SIGINT)
    else:
        process.kill()
    os.close(here)
    return Seen(came.decode(errors="replace"), process.wait())
