"""What a job says: on stderr, and kept in its folder so that a person can follow it.

FOLDER/log.txt       what was said, with times, and how it ended
FOLDER/state.json    where it stands; see raynef.io.state
"""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raynef.core.errors import BadImageError, NonFiniteLossError, UserError
from raynef.io.holds import LOCK
from raynef.io.state import STATE, note_end, state_in

logger = logging.getLogger("raynef")

LOG = "log.txt"
LEAVES = frozenset({LOCK, LOG, STATE})
"""What a job leaves that ended in its first moments."""
_EXPLAINED = (UserError, BadImageError, NonFiniteLossError, OSError)
"""Failures that one line explains; the log has the traceback of any other."""


@contextlib.contextmanager
def logged(folder: str | Path) -> Iterator[None]:
    """Keep what is said within, and how it ends, in a folder that is there."""
    folder = Path(folder)
    handler = _LogFile(folder / LOG)
    logger.addHandler(handler)
    note_end(folder, None)
    ended = "failed"
    try:
        with state_in(folder):
            yield
        ended = "finished"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            ended = "stopped"
        _say_end(handler, error)
        raise
    finally:
        note_end(folder, ended)
        logger.removeHandler(handler)
        handler.close()


class _LogFile(logging.FileHandler):
    """A job's log; one that cannot be written, as on a full disk, is said once and given up."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._broken = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._broken:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._broken = True
        logger.warning("%s is written no more: %s", self.baseFilename, error.strerror or error)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what was not written is tried again, in vain
            super().close()


def _say_end(handler: logging.Handler, error: BaseException) -> None:
    """The last word of a job that failed; on stderr the command says it itself."""
    level, trace = logging.ERROR, None
    if isinstance(error, KeyboardInterrupt):
        level, words = logging.WARNING, "interrupted; rerun the same command to resume"
    elif isinstance(error, SystemExit):
        level, words = logging.WARNING, f"ended with exit status {error.code}"
    elif isinstance(error, _EXPLAINED):
        words = str(error)
    else:
        words, trace = "failed", (type(error), error, error.__traceback__)
    record = logger.makeRecord(logger.name, level, __file__, 0, "%s", (words,), exc_info=trace)
    handler.handle(record)


@contextlib.contextmanager
def warnings_once() -> Iterator[None]:
    """Warnings of libraries become lines of the log, each once, wherever it was raised."""
    said: set[tuple[str, str]] = set()

    def show(message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        words = " ".join(str(message).split())
        if (category.__name__, words) not in said:
            said.add((category.__name__, words))
            logger.warning("%s: %s", category.__name__, words)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
