"""Where stderr goes while Ray's core, which writes to it by itself, starts or connects."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def stderr_to(descriptor: int) -> Iterator[None]:
    """What this process writes to stderr, its C++ parts too, goes to an open file meanwhile."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        os.dup2(descriptor, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
