"""Files that are too large to be read whole: opened where they lie, or copied to this machine."""

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raynef.io.storage import local_path, name_of, open_address, reason

_PART_BYTES = 16 << 20


@contextlib.contextmanager
def opened(location: str) -> Iterator[Any]:
    """A file for reading, which can be sought in.

    Raises:
        OSError: it is missing or cannot be read.
        UserError: an address of no known kind.
    """
    here = local_path(location)
    if here is not None:
        with open(here, "rb") as file:
            yield file
        return
    system, path = open_address(location)
    try:
        stream = system.open_input_file(path)
    except OSError:
        raise
    except Exception as error:  # fsspec's file systems raise what their libraries raise
        raise OSError(reason(error, location)) from error
    with stream:
        yield stream


@contextlib.contextmanager
def fetched(location: str) -> Iterator[Path]:
    """The path of a file on this machine: its own, or that of a copy while the block lasts.

    Raises as ``opened``.
    """
    here = local_path(location)
    if here is not None:
        yield Path(here)
        return
    with tempfile.TemporaryDirectory(prefix="raynef-") as scratch:
        copy = Path(scratch) / (Path(name_of(location)).name or "file")
        with opened(location) as stream, copy.open("wb") as file:
            shutil.copyfileobj(stream, file, _PART_BYTES)
        yield copy


def digest(location: str) -> str:
    """Hash of a file's content, in bounded memory. Raises as ``opened``."""
    hasher = hashlib.blake2b(digest_size=16)
    with opened(location) as stream:
        while part := stream.read(_PART_BYTES):
            hasher.update(part)
    return hasher.hexdigest()
