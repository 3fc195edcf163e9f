"""A raynef command as a user runs it, and the processes behind it, to be killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

LIMIT_S = 900.0
"""That any one command may take; longer counts as a hang."""

VICTIMS = {
    "feature actor": "ray::MapWorker",
    "train worker": "ray::RayTrainWorker",
    "trial": "ray::ImplicitFunc",
    "raylet": "raylet/raylet",
    "control store": "gcs_server",
}
"""What a process is called, by a part of its command line."""


class Hang(Exception):
    """A command that does not end."""


class Command:
    """``raynef`` with its arguments, started in the background.

    Args:
        arguments: after ``raynef``.
        env: variables besides those of this process.
    """

    def __init__(self, arguments: list[str], *, env: dict[str, str] | None = None) -> None:
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "raynef", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        self.pid = self._process.pid
        self._said: list[str] = []
        self._printed: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in (
                (self._process.stderr, self._said),
                (self._process.stdout, self._printed),
            )
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, lines: list[str]) -> None:
        for line in stream:
            lines.append(line)  # as it comes, for `said`

    @property
    def said(self) -> str:
        """What it said on stderr so far."""
        return "".join(self._said)

    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        """Its exit status. Raises Hang."""
        try:
            status = self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise Hang(f"no end after {LIMIT_S:.0f} s; it said last: {self.said[-500:]}") from error
        for reader in self._readers:
            reader.join(10)
        return status

    def result(self) -> dict:
        """Its JSON line, once it ended well."""
        status = self.wait()
        if status:
            raise RuntimeError(f"exit {status}: {self.said[-2000:]}")
        return json.loads(self._printed[-1])

    def until(self, happened: Callable[[], object]) -> None:
        """Wait for something. Raises RuntimeError where the command ends before."""
        deadline = time.monotonic() + LIMIT_S
        while not happened():
            if not self.running():
                self.wait()
                raise RuntimeError(f"it ended too early: {self.said[-2000:]}")
            if time.monotonic() > deadline:
                self.kill()
                raise Hang(f"it never happened; last words: {self.said[-500:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL for the driver; most of its Ray goes within seconds."""
        tree = list(descendants(self.pid))
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and any(_alive(pid) for pid in tree):
            time.sleep(0.1)

    def terminate(self) -> None:
        """SIGTERM for the driver."""
        os.kill(self.pid, signal.SIGTERM)

    def processes(self, victim: str) -> list[int]:
        """Those of a kind behind this command."""
        part = VICTIMS[victim]
        return [pid for pid in descendants(self.pid) if part in _command_line(pid)]

    def kill_one(self, victim: str) -> int:
        """SIGKILL for one process of a kind, as soon as there is one."""
        self.until(lambda: self.processes(victim))
        pid = self.processes(victim)[0]
        os.kill(pid, signal.SIGKILL)
        return pid


def descendants(pid: int) -> Iterator[int]:
    """The processes that a process started, and those that they started."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            parent = _parent(int(folder.name))
            children.setdefault(parent, []).append(int(folder.name))
    queue = [pid]
    while queue:
        for child in children.get(queue.pop(), []):
            yield child
            queue.append(child)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return -1


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (OSError, UnicodeDecodeError):
        return ""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
