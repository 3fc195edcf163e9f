"""SIGTERM and Ctrl-C: what is under way is made safe, then the command ends; it can go on later."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Terminated(KeyboardInterrupt):  # like KeyboardInterrupt, it is no error
    """SIGTERM arrived, as before a preemption."""


def _raise(signum: int, frame: object) -> None:
    raise Terminated if signum == signal.SIGTERM else KeyboardInterrupt


def terminable() -> None:
    """Let SIGTERM end this process as Ctrl-C does, with what ``finally`` promises.

    Ray puts a handler of its own in place when it starts. Nothing happens outside the main thread.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _raise)


@contextlib.contextmanager
def on_interrupt(make_safe: Callable[[], None]) -> Iterator[None]:
    """Call ``make_safe`` before SIGTERM or Ctrl-C ends what runs inside; a second ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: object) -> None:
        for number in before:
            signal.signal(number, _raise)
        make_safe()
        _raise(signum, frame)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in before:
            signal.signal(number, handle)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
