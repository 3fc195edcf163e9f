"""Atomic writes: a reader sees the old file or the new one, never half of one."""

import contextlib
import errno
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from raynef.core.errors import DiskFullError, UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write(temporary)`` beside ``path``, then rename it into place.

    Whatever fails, the temporary file is removed and what was at ``path`` stays.

    Raises:
        DiskFullError: there is no room for it, whichever library found that out.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming_a_full_disk(path):  # looks at the disk before the temporary file is removed
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            temporary.unlink()


@contextlib.contextmanager
def naming_a_full_disk(path: Path) -> Iterator[None]:
    """Turn what a full disk raises into a DiskFullError that names ``path`` and what to do."""
    try:
        yield
    except Exception as error:
        reason = full_disk_reason(error)
        # torch.save says "failed writing file", or that a position is unexpected, and no more.
        of_torch = any(name in str(error) for name in ("PytorchStreamWriter", "inline_container"))
        if reason is None and isinstance(error, RuntimeError) and of_torch:
            with contextlib.suppress(OSError):
                if shutil.disk_usage(path.parent).free < 1 << 20:
                    reason = os.strerror(errno.ENOSPC)
        if reason is None or isinstance(error, DiskFullError):
            raise
        raise DiskFullError(disk_full_message(str(path), reason)) from error


def disk_full_message(path: str | None, reason: str) -> str:
    """The one line that is said of a full disk. ``path``: what could not be written, if known."""
    what = f"{path} could not be written" if path else "a file could not be written"
    return f"disk full: {what} ({reason}). Free space and run the same command again"


def full_disk_reason(error: BaseException) -> str | None:
    """ "No space left on device", or the like of a quota, where that is what an error says.

    safetensors and torch raise errors of their own, which say it in their text alone.
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        return os.strerror(error.errno)
    reasons = [os.strerror(number) for number in _FULL]
    return next((reason for reason in reasons if reason in str(error)), None)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, and to the disk. A name that is no UTF-8 is written escaped."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())  # on some file systems room is sought, and missed, only here

    write_atomic(path, write)


def append_line(path: Path, line: str) -> None:
    """Add a line to a journal, and to the disk; a reader must expect that the last one is cut.

    Raises DiskFullError.
    """
    with naming_a_full_disk(path), path.open("a", encoding="utf-8") as journal:
        journal.write(line + "\n")
        journal.flush()
        os.fsync(journal.fileno())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    write_text(path, json_text(value, indent=2) + "\n")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON with letters as they are; escaped where a file's name is no UTF-8."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def within(folder: Path, name: str) -> Path:
    """The path of an output named after an input.

    Raises UserError where the name would lead out of ``folder``.
    """
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or not parts.name or "\0" in name:
        raise UserError(f"the name {name!r} leads out of {folder}; nothing is written there")
    return folder / parts


def without_infinity(value: Any) -> Any:
    """Nested plain values with infinities as the text "inf": JSON has no number for them.

    A recipe's fields, and its overrides, read that text as the number.
    """
    if isinstance(value, dict):
        return {key: without_infinity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_infinity(item) for item in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def read_json(path: Path) -> Any:
    """Read one JSON file. Raises ValueError where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply") from error
