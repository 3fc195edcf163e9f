"""What a job says: on stderr, and kept in its folder so that a person can follow it.

FOLDER/log.txt          what was said, with times, and how it ended
FOLDER/standing.json    where it stands; see raynef.runtime.standing
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raynef.core.errors import BadImageError, NonFiniteLossError, UserError
from raynef.runtime.standing import standing_in

logger = logging.getLogger("raynef")

LOG = "log.txt"
_EXPLAINED = (UserError, BadImageError, NonFiniteLossError, OSError)
"""Failures that one line explains; the log has the traceback of any other."""


@contextlib.contextmanager
def logged(folder: str | Path) -> Iterator[None]:
    """Keep what is said within, and how it ends, in a folder that is there."""
    handler = logging.FileHandler(Path(folder) / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    try:
        with standing_in(folder):
            yield
    except BaseException as error:
        _say_end(handler, error)
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


def _say_end(handler: logging.Handler, error: BaseException) -> None:
    """The last word of a job that failed; on stderr the command says it itself."""
    level, trace = logging.ERROR, None
    if isinstance(error, KeyboardInterrupt):
        level, words = logging.WARNING, "interrupted; the same command goes on from here"
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
