"""Where a person reads what jobs say: stderr, which may be a terminal, or a notebook."""

import contextlib
import logging
from collections.abc import Iterator
from typing import TextIO

from raynef.io.display import drawn_on
from raynef.report.notebook import Notebook, in_notebook
from raynef.report.terminal import Terminal

logger = logging.getLogger("raynef")

Screen = Terminal | Notebook | logging.StreamHandler[TextIO]


def screen(stream: TextIO) -> Screen:
    """The handler of the log that suits a stream; elsewhere than on a terminal it writes lines."""
    kind = Notebook if in_notebook() else Terminal if stream.isatty() else logging.StreamHandler
    made = kind(stream)
    made.setFormatter(logging.Formatter("%(message)s"))
    return made


@contextlib.contextmanager
def heard_on(found: Screen) -> Iterator[None]:
    """What is said within goes there."""
    level = logger.level
    logger.addHandler(found)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(found)
        logger.setLevel(level)


def progress_on(found: Screen) -> contextlib.AbstractContextManager[None]:
    """Jobs that start within are drawn there, where it can draw."""
    return drawn_on(found if isinstance(found, Terminal | Notebook) else None)
