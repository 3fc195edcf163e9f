"""Whether the shards of a store are what was written: by size always, by checksum once.

A store is hashed at the speed of its disk, which for a large one is long beside a start. So what
was found sound is remembered in ``STORE/verified.json`` by the file's size and times, and only a
file that has changed since, or that came from elsewhere (a copy has other times), is hashed. A
store that was made here is never hashed twice. What a disk loses in silence, with the times as they
were, is found by the checksum of each page as it is read; the reader then forgets what is
remembered, so that the next command hashes everything, and remakes what is damaged.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynef.cluster.progress import Progress
from raynef.io.files import read_json, write_json

logger = logging.getLogger("raynef")

_VERIFIED = "verified.json"
_THREADS = 4  # hashing and reading wait for one another; more of them than disks gain nothing
_SAID_BYTES = 1 << 30  # from which on hashing has a line of progress


@dataclass(frozen=True)
class Shard:
    """One finished file of a store: its name there, the view of its rows, and the image of each."""

    file: str
    view: int
    images: tuple[int, ...]
    num_bytes: int
    sha256: str


def find_faults(folder: Path, shards: Iterable[Shard]) -> dict[str, str]:
    """{file: what is wrong with it} of the shards that are not what they were when written."""
    known, seen = _remembered(folder), {}
    faults: dict[str, str] = {}
    unsure: list[Shard] = []
    for shard in shards:
        now = _state(folder, shard)
        if now is None:
            faults[shard.file] = "is missing"
        elif now[1] != shard.num_bytes:
            faults[shard.file] = f"has {now[1]} bytes, not {shard.num_bytes}"
        else:
            seen[shard.file] = now  # taken before it is hashed: a later change shows
            if known.get(shard.file) != now:
                unsure.append(shard)
    if not unsure:
        return faults
    said = None
    if sum(shard.num_bytes for shard in unsure) > _SAID_BYTES:
        said = Progress(f"checksums of {folder}", len(unsure), "shards")
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        digests = pool.map(lambda shard: _digest(folder / shard.file), unsure)
        for shard, digest in zip(unsure, digests, strict=True):
            if digest != shard.sha256:
                faults[shard.file] = "has another checksum than when it was written"
                del seen[shard.file]
            if said is not None:
                said.advance(1)
    if said is not None:
        said.close()
    _write(folder, seen)
    return faults


def remember(folder: Path, shards: Iterable[Shard]) -> None:
    """Note shards that this process has just found sound, or made."""
    states = {shard.file: _state(folder, shard) for shard in shards}
    _write(folder, {file: state for file, state in states.items() if state is not None})


def forget(folder: Path) -> None:
    """Have the next command hash every shard; a folder that cannot be written to stays."""
    with contextlib.suppress(OSError):
        (folder / _VERIFIED).unlink(missing_ok=True)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _digest(path: Path) -> str:
    try:
        return digest_of(path)
    except OSError as error:  # a disk that cannot read it; the shard is recomputed
        logger.warning("%s cannot be read: %s", path, error.strerror or error)
        return ""


def _state(folder: Path, shard: Shard) -> list[Any] | None:
    """What is remembered of a sound file; ctime is of the file's last change by any means."""
    try:
        now = (folder / shard.file).stat()
    except OSError:
        return None
    return [shard.sha256, now.st_size, now.st_mtime_ns, now.st_ctime_ns]


def _remembered(folder: Path) -> dict[str, Any]:
    try:
        found = read_json(folder / _VERIFIED)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(folder: Path, states: dict[str, list[Any]]) -> None:
    """It only saves time: where it cannot be written, the next start hashes again."""
    with contextlib.suppress(OSError):
        write_json(folder / _VERIFIED, states)
