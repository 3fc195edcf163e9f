"""Folders that one process at a time may write to, by a lock in FOLDER/.lock."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from filelock import FileLock, Timeout

from raynef.core.errors import UserError

LOCK = ".lock"
GLANCE_S = 0.5
"""To wait for a lock before it counts as taken: ``raynef status`` has it for an instant."""

P = ParamSpec("P")
T = TypeVar("T")


@contextlib.contextmanager
def locked(folder: Path, taken: str) -> Iterator[None]:
    """Make a folder and hold its lock; UserError where it is ``taken``, or cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=GLANCE_S)
    except Timeout as error:
        raise UserError(taken) from error
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def hold_folder(path: str | Path, *, make: bool = True) -> Iterator[None]:
    """Hold a folder that a command writes to, so that no other process may write there.

    Args:
        path: the folder.
        make: it; else one that is not there is left to the command, which says so.

    Raises:
        UserError: another live process holds it, or it is no folder that can be written to.
    """
    path = Path(path).absolute()
    if not make and not path.is_dir():
        yield
        return
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file, not a folder")
    taken = f"another live command writes to {path}; wait for it, or give another folder"
    with locked(path, taken):
        yield


def holds(*names: str, made: Sequence[str] = ()) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have a function hold the folders that are given as some of its parameters, if they are.

    See ``hold_folder``. What the function calls must hold other folders.

    Args:
        names: parameters whose folders must be there; the function says where one is not.
        made: parameters whose folders are made.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def held(*args: P.args, **kwargs: P.kwargs) -> T:
            given = signature.bind(*args, **kwargs).arguments
            make = {
                Path(given[name]).resolve(): name in made
                for name in (*names, *made)
                if given.get(name) is not None
            }
            with contextlib.ExitStack() as stack:
                for folder in sorted(make):
                    stack.enter_context(hold_folder(folder, make=make[folder]))
                return function(*args, **kwargs)

        return held

    return decorate


def is_held(path: Path) -> bool:
    """Whether a live process holds a folder.

    The lock is tried, and let go at once (see ``GLANCE_S``); where no one ever locked the
    folder none is made.
    """
    lock = path / LOCK
    if not lock.is_file():
        return False
    try:
        with FileLock(lock).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that may only be read: no one can hold it from here
        return False
