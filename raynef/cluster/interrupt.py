"""SIGTERM and Ctrl-C: what is under way is made safe, then the command ends; it can go on later."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Terminated(KeyboardInterrupt):  # like KeyboardInterrupt, it is no error
    """SIGTERM arrived, as before a preemption."""


def _interruption(signum: int) -> KeyboardInterrupt:
    return Terminated() if signum == signal.SIGTERM else KeyboardInterrupt()


def _raise(signum: int, frame: object) -> None:
    raise _interruption(signum)


def terminable() -> None:
    """Let SIGTERM end this process as Ctrl-C does, with what ``finally`` promises.

    Ray puts a handler of its own in place when it starts. Nothing happens outside the main thread.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _raise)


@contextlib.contextmanager
def on_interrupt(make_safe: Callable[[], None]) -> Iterator[None]:
    """Call ``make_safe`` before SIGTERM or Ctrl-C ends what runs inside; a second ends at once."""

    def handle(signum: int) -> None:
        make_safe()
        raise _interruption(signum)

    with _first_signal(handle):
        yield


@contextlib.contextmanager
def asked_to_end(end: Callable[[KeyboardInterrupt], None]) -> Iterator[None]:
    """Call ``end`` on SIGTERM or Ctrl-C with what is to be raised once it is safe to; a second
    signal ends what runs inside at once."""
    with _first_signal(lambda signum: end(_interruption(signum))):
        yield


@contextlib.contextmanager
def _first_signal(do: Callable[[int], None]) -> Iterator[None]:
    """``do`` on the first SIGTERM or Ctrl-C; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: object) -> None:
        for number in before:
            signal.signal(number, _raise)
        do(signum)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in before:
            signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
