"""Files of a data set: on a local disk, or at any address that Arrow's file systems open.

A *location* is a path or an address such as ``s3://bucket/folder``, ``gs://…``, ``file:///…`` or
``fsspec+PROTOCOL://…``. Locations are plain strings, so that they travel to workers as they are.
An address is a URI: what Arrow's file system takes as options follows a ``?``
(``s3://bucket/folder?region=eu-west-1``), and names within it are percent-encoded, by ``join``.
"""

import contextlib
import errno
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from raynef.core.errors import UserError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
PAUSES_S = (0.2, 1.0)
"""Between attempts to read or write; each of Arrow's own on S3 is already several."""
FINAL = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""What another attempt does not mend."""
_GCS_PATIENCE_S = 60  # Arrow's own is 15 minutes, in silence, also for a wrong name of a host
_PART_BYTES = 16 << 20  # of a file that is read with a bound: most images are one part
MOST_TEXT_BYTES = 1 << 30
"""Of a list or of annotations: COCO's largest are about half of it."""
_ASKED_ALONE = 8  # files of a folder up to which each is asked for rather than the folder listed


def is_address(location: str) -> bool:
    """Whether a location is an address rather than a path."""
    return _ADDRESS.match(location) is not None


def absolute(location: str | Path) -> str:
    """A path as seen from everywhere, ``~`` expanded; an address in its one way to be written."""
    location = str(location)
    if not is_address(location):
        return str(Path(location).expanduser().absolute())
    head, path, options = _split(location)
    return _address(head, unquote(path), options)


def local_path(location: str) -> str | None:
    """Where a location lies on a disk of this machine, a file:// address too; None elsewhere."""
    if not is_address(location):
        return location
    return unquote(urlsplit(location).path) if location.startswith("file://") else None


def join(location: str, *names: str) -> str:
    """The location of a name below another; options of an address stay where they belong."""
    names = tuple(name.strip("/") for name in names if name.strip("/"))
    if not is_address(location):
        return "/".join((location.rstrip("/"), *names))
    head, path, options = _split(location)
    return _address(head, "/".join(filter(None, (unquote(path), *names))), options)


def name_of(location: str) -> str:
    """The last name of a location: of a folder, its own; of a bare bucket, the bucket's."""
    if not is_address(location):
        return Path(location).name
    head, path, _ = _split(location)
    return unquote(path).rpartition("/")[2] or head.partition("://")[2].rpartition("@")[2]


def without_secrets(location: str) -> str:
    """A location to be shown: an address without the user, the password and the options in it."""
    if not is_address(location):
        return location
    head, path, _ = _split(location)
    scheme, _, host = head.partition("://")
    return _address(f"{scheme}://{host.rpartition('@')[2]}", unquote(path), "")


def read_bytes(location: str | Path, *, most: int | None = None) -> bytes:
    """The content of one file. What fails at an address is tried again, twice.

    Args:
        location: of the file.
        most: bytes that it may have; a larger file is not read, so that memory is bounded.

    Raises:
        OSError: as of a local file; FileNotFoundError where there is none, and EFBIG for a file of
            more than ``most`` bytes.
        UserError: an address of no known kind.
    """
    location = str(location)
    if not is_address(location):
        with Path(location).open("rb") as file:
            if most is not None and os.fstat(file.fileno()).st_size > most:
                raise _too_big(location, most)
            return file.read() if most is None else _bounded(file, most, location)
    system, path = open_address(location)
    for pause in (*PAUSES_S, None):
        try:
            with system.open_input_stream(path) as stream:
                return stream.read() if most is None else _bounded(stream, most, location)
        except FileNotFoundError as error:  # its text is another for each kind of address
            text, shown = os.strerror(errno.ENOENT), without_secrets(location)
            raise FileNotFoundError(errno.ENOENT, text, shown) from error
        except Exception as error:  # fsspec's file systems raise what their libraries raise
            if isinstance(error, OSError) and error.errno == errno.EFBIG:
                raise
            if pause is None or isinstance(error, FINAL):
                raise OSError(reason(error, location)) from error
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _bounded(stream: Any, most: int, location: str) -> bytes:
    """All of a stream, unless that is more than ``most`` bytes; whatever size it claims to have."""
    parts, total = [], 0
    while part := stream.read(_PART_BYTES):
        parts.append(part)
        total += len(part)
        if total > most:
            raise _too_big(location, most)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_big(location: str, most: int) -> OSError:
    text = f"larger than the {most >> 20} MiB that a file of its kind may have"
    return OSError(errno.EFBIG, text, without_secrets(location))


def read_text(location: str, *, most: int = MOST_TEXT_BYTES) -> str:
    """The content of a text file.

    Raises:
        UserError: a file that is missing, no UTF-8 text, or of more than ``most`` bytes.
    """
    try:
        encoded = read_bytes(location, most=most)
        return encoded.decode("utf-8-sig")  # some editors put a mark at the start
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{without_secrets(location)} cannot be read: {error}") from error


def read_lines(location: str) -> list[str]:
    """The lines of a text file, stripped, empty ones left out. Raises UserError as ``read_text``"""
    return [line.strip() for line in read_text(location).splitlines() if line.strip()]


def is_file(location: str) -> bool:
    """Whether there is such a file. Raises UserError: an address that does not answer."""
    return _kind(location) == "File"


def is_folder(location: str) -> bool:
    """Whether there is such a folder. Raises UserError: an address that does not answer."""
    return _kind(location) == "Directory"


def list_files(
    location: str,
    *,
    suffixes: Iterable[str] | None = None,
    recursive: bool = True,
    follow_links: bool = True,
) -> list[str]:
    """Files below a folder: names relative to it, with '/', sorted; hidden ones left out.

    A bucket answers by the thousand, whatever the number of folders.

    Args:
        location: the folder; one that does not exist holds no file.
        suffixes: lower-case endings such as ``.png``; all files if None.
        recursive: those in folders within it too.
        follow_links: into local folders that are symbolic links, each but once on a way down.

    Raises:
        UserError: an address that does not answer.
    """
    wanted = None if suffixes is None else tuple(suffixes)
    if is_address(location):
        names = _names_at(location, recursive)
    else:
        names = _names_below(location, recursive, follow_links)
    return sorted(
        name
        for name in names
        if not any(part.startswith(".") for part in name.split("/"))
        and (wanted is None or name.lower().endswith(wanted))
    )


def file_sizes(locations: Sequence[str]) -> list[int | None]:
    """Bytes of each file, None for one that does not exist.

    At an address a folder with many of them is listed once, in place of a request for each.

    Raises:
        UserError: an address that does not answer.
    """
    sizes: dict[str, int | None] = {}
    folders: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for location in locations:
        if is_address(location):
            head, path, options = _split(location)
            folder, _, name = unquote(path).rpartition("/")
            folders[_address(head, folder, options)][location] = name
        else:
            sizes[location] = os.path.getsize(location) if os.path.isfile(location) else None
    for folder, wanted in folders.items():
        sizes |= _sizes_in(folder, wanted)
    return [sizes[location] for location in locations]


def _sizes_in(folder: str, wanted: dict[str, str]) -> dict[str, int | None]:
    """{location: bytes or None} of {location: name} in the folder at an address."""
    from pyarrow import fs

    system, path = open_address(folder)
    with _asking(folder):
        if len(wanted) > _ASKED_ALONE:
            infos = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
        else:
            infos = system.get_file_info([_below(path, name) for name in wanted.values()])
    found = {
        info.path.rpartition("/")[2]: info.size for info in infos if info.type == fs.FileType.File
    }
    return {location: found.get(name) for location, name in wanted.items()}


def _names_below(root: str, recursive: bool, follow_links: bool) -> Iterator[str]:
    def walk(folder: str, below: str, above: frozenset[str]) -> Iterator[str]:
        try:
            entries = list(os.scandir(folder))
        except OSError:  # not there, or not ours to read
            return
        for entry in entries:
            path, link = entry.path, entry.is_symlink()  # os.path, for a link may lead nowhere
            if os.path.isfile(path) if link else entry.is_file():
                yield below + entry.name
            elif (
                recursive
                and not entry.name.startswith(".")
                and (follow_links and os.path.isdir(path) if link else entry.is_dir())
                and (real := os.path.realpath(path)) not in above
            ):
                yield from walk(path, f"{below}{entry.name}/", above | {real})

    yield from walk(root, "", frozenset({os.path.realpath(root)}))


def _names_at(address: str, recursive: bool) -> list[str]:
    from pyarrow import fs

    system, path = open_address(address)
    with _asking(address):
        try:
            infos = system.get_file_info(
                fs.FileSelector(path, recursive=recursive, allow_not_found=True)
            )
        except NotADirectoryError:
            return []
    prefix = path.strip("/")
    return [
        info.path.strip("/").removeprefix(prefix).lstrip("/")
        for info in infos
        if info.type == fs.FileType.File
    ]


def _kind(location: str) -> str:
    if not is_address(location):
        path = Path(location)
        return "File" if path.is_file() else "Directory" if path.is_dir() else "NotFound"
    system, path = open_address(location)
    with _asking(location):
        return system.get_file_info(path).type.name


def _split(address: str) -> tuple[str, str, str]:
    """An address as scheme and host, encoded path without slashes around it, and options."""
    scheme, _, rest = address.partition("://")
    options = ""
    if not scheme.startswith("fsspec+"):  # those take their options from elsewhere
        rest, _, options = rest.partition("?")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}", path.strip("/"), options


def _address(head: str, path: str, options: str) -> str:
    """The address of a path, which is not encoded."""
    slash = "/" if path or head.endswith("://") else ""
    return f"{head}{slash}{quote(path, safe='/=@:+,')}{'?' if options else ''}{options}"


def open_address(address: str) -> tuple[Any, str]:
    """Arrow's file system of an address, and the path within. Raises UserError."""
    head, path, options = _split(address)
    if head.startswith(("gs://", "gcs://")) and "retry_limit_seconds" not in options:
        options = f"{options}{'&' if options else ''}retry_limit_seconds={_GCS_PATIENCE_S}"
    system, base = _system(head, options)
    return system, _below(base, unquote(path)) if path else base


def _below(base: str, name: str) -> str:
    """A path within a file system whose root may be '' or '/'."""
    return f"{base.rstrip('/')}/{name}" if base else name


@lru_cache(maxsize=32)
def _system(head: str, options: str) -> tuple[Any, str]:
    """Arrow's file system, once for each process: it holds connections. Raises UserError."""
    from pyarrow import fs

    address = f"{head}/?{options}" if options else f"{head}/"
    with _asking(address):
        return fs.FileSystem.from_uri(address)


@contextlib.contextmanager
def _asking(address: str) -> Iterator[None]:
    """What fails without a file's being at fault is the address, the right to it or the network."""
    try:
        yield
    except Exception as error:  # fsspec's file systems raise what their libraries raise
        shown = without_secrets(address)
        raise UserError(f"{shown} does not open: {reason(error, address)}") from error


def reason(error: Exception, address: str) -> str:
    """The first line of what went wrong, for some libraries list all that they tried.

    Without the secrets of the address.
    """
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    head, _, options = _split(address)
    text = text.replace(head, without_secrets(head))
    return text.replace(f"?{options}", "") if options else text
