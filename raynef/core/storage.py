"""Files of a data set: on a local disk, or at any address that Arrow's file systems open.

A *location* is a path or an address such as ``s3://bucket/folder``, ``gs://…``, ``file:///…`` or
``fsspec+PROTOCOL://…``. Locations are plain strings, so that they travel to workers as they are.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from raynef.core.errors import UserError


def is_address(location: str) -> bool:
    """Whether a location is an address rather than a path."""
    return "://" in location


def absolute(location: str | Path) -> str:
    """A path as seen from everywhere; an address as it is, without a closing slash."""
    location = str(location)
    if is_address(location):
        return location.rstrip("/")
    return str(Path(location).expanduser().absolute())


def join(location: str, *parts: str) -> str:
    """A location below another."""
    return "/".join((location.rstrip("/"), *(part.strip("/") for part in parts if part)))


def read_bytes(location: str | Path) -> bytes:
    """The content of one file. Raises OSError, as of a local file."""
    location = str(location)
    if not is_address(location):
        return Path(location).read_bytes()
    system, path = _system(location)
    with system.open_input_stream(path) as stream:
        return stream.read()


def read_lines(location: str) -> list[str]:
    """The lines of a text file, stripped, empty ones left out.

    Raises:
        UserError: a file that is missing or no UTF-8 text.
    """
    try:
        text = read_bytes(location).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{location} cannot be read: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_file(location: str) -> bool:
    """Whether there is such a file."""
    return _kind(location) == "File"


def is_folder(location: str) -> bool:
    """Whether there is such a folder."""
    return _kind(location) == "Directory"


def list_files(location: str, *, suffixes: Iterable[str] | None = None) -> list[str]:
    """Files below a folder: names relative to it, with '/', sorted; hidden ones left out.

    Args:
        location: the folder; one that does not exist holds no file.
        suffixes: lower-case endings such as ``.png``; all files if None.
    """
    wanted = None if suffixes is None else tuple(suffixes)
    return sorted(
        name
        for name in _names_below(location)
        if not any(part.startswith(".") for part in name.split("/"))
        and (wanted is None or name.lower().endswith(wanted))
    )


def file_sizes(locations: Sequence[str]) -> list[int | None]:
    """Bytes of each file, None for one that does not exist, by as few requests as can be."""
    remote = [location for location in locations if is_address(location)]
    sizes: dict[str, int | None] = {}
    if remote:
        system, _ = _system(remote[0])
        for location, info in zip(
            remote, system.get_file_info([_system(r)[1] for r in remote]), strict=True
        ):
            sizes[location] = info.size if info.type.name == "File" else None
    for location in locations:
        if location not in sizes:
            sizes[location] = os.path.getsize(location) if os.path.isfile(location) else None
    return [sizes[location] for location in locations]


def _names_below(location: str) -> Iterable[str]:
    if not is_address(location):
        root = Path(location)
        for folder, _, files in os.walk(root, followlinks=True):
            below = Path(folder).relative_to(root)
            yield from ((below / file).as_posix() for file in files)
        return
    from pyarrow import fs

    system, path = _system(location)
    selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
    prefix = path.strip("/")
    for info in system.get_file_info(selector):
        if info.type.name == "File":
            yield info.path.strip("/").removeprefix(prefix).lstrip("/")


def _kind(location: str) -> str:
    if not is_address(location):
        path = Path(location)
        return "File" if path.is_file() else "Directory" if path.is_dir() else "NotFound"
    system, path = _system(location)
    return system.get_file_info(path).type.name


def _system(location: str) -> tuple[Any, str]:
    """Arrow's file system of an address, and the path within. Raises UserError."""
    import pyarrow
    from pyarrow import fs

    try:
        return fs.FileSystem.from_uri(location)
    except (pyarrow.ArrowException, OSError, ValueError, ImportError) as error:
        raise UserError(f"the address {location!r} cannot be opened: {error}") from error
