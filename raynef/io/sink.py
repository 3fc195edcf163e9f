"""Results to where they belong: a local folder, or any address that Arrow's file systems open.

On a disk a file appears whole. So it does in an object store; at another address a reader may see
it grow, and what a killed command left there is half a file: who writes records which files count.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from raynef.core.errors import UserError
from raynef.io.files import write_atomic
from raynef.io.storage import (
    FINAL,
    PAUSES_S,
    join,
    local_path,
    open_address,
    reason,
    without_secrets,
)

T = TypeVar("T")

_AT_ONCE = 8  # files that are written to an address

_FOLDERLESS = ("s3", "gcs", "abfs")
"""Where a name may hold slashes, and a folder would be an object of its own."""


def write_bytes(location: str, content: bytes) -> None:
    """Write one file, and the folders above it. What fails at an address is tried again, twice.

    Raises:
        OSError: it cannot be written; DiskFullError where there is no room.
        UserError: an address of no known kind.
    """
    here = local_path(location)
    if here is not None:
        write_atomic(Path(here), lambda temporary: temporary.write_bytes(content))
        return
    _put(location, lambda stream: stream.write(content))


def write_all(location: str, files: Mapping[str, bytes]) -> None:
    """Write {path below a location: content}; errors as of ``write_bytes``.

    At an address several at once: one alone waits for its answer most of the time.
    """
    places = [join(location, path) for path in files]
    if local_path(location) is not None:
        for place, content in zip(places, files.values(), strict=True):
            write_bytes(place, content)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(write_bytes, places, files.values()))


def write_made(location: str, make: Callable[[Path], object], scratch: Path) -> None:
    """Write one file by a function of a path; errors as of ``write_bytes``.

    Args:
        location: of the file.
        make: called with the path to write to.
        scratch: a local folder where the file is made if ``location`` is an address.
    """
    here = local_path(location)
    if here is not None:
        write_atomic(Path(here), make)
        return
    made = scratch / "made"
    make(made)
    write_copy(location, made)
    made.unlink()


def write_copy(location: str, made: Path) -> None:
    """Write one file as a copy of a local one; errors as of ``write_bytes``."""
    here = local_path(location)
    if here is not None:
        write_atomic(Path(here), lambda temporary: shutil.copyfile(made, temporary))
        return

    def copy(stream: Any) -> None:
        with made.open("rb") as file:
            shutil.copyfileobj(file, stream, 16 << 20)

    _put(location, copy)


def remove(location: str) -> None:
    """Delete a file, if it is there."""
    here = local_path(location)
    if here is not None:
        Path(here).unlink(missing_ok=True)
        return

    def delete() -> None:
        system, path = open_address(location)
        if system.get_file_info(path).type.name == "File":
            system.delete_file(path)

    _patiently(location, delete)


def _put(location: str, write: Callable[[Any], object]) -> None:
    def put() -> None:
        system, path = open_address(location)
        if system.type_name not in _FOLDERLESS and "/" in path:
            system.create_dir(path.rpartition("/")[0], recursive=True)
        with system.open_output_stream(path) as stream:
            write(stream)

    _patiently(location, put)


def _patiently(location: str, act: Callable[[], T]) -> T:
    for pause in (*PAUSES_S, None):
        try:
            return act()
        except UserError:
            raise
        except Exception as error:  # fsspec's file systems raise what their libraries raise
            if pause is None or isinstance(error, FINAL):
                raise OSError(f"{without_secrets(location)}: {reason(error, location)}") from error
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")
