"""What is known of the images that were segmented: a record each.

A record takes a line of a journal. Only its place is held in memory, whatever the record holds.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

JOURNAL = "journal"
"""Folder of the records."""
SETTINGS = f"{JOURNAL}/settings.json"
"""All that shapes the results: it tells a folder of predictions."""


@dataclass(frozen=True)
class Record:
    """One image, and what was made of it.

    Attributes:
        settings: hash of all that shapes the results.
        name: relative to the folder of images.
        output: name of its own files within their folders.
        content: hash of the image's file.
        width, height: in pixels.
        files: {path within the folder of results: hash of the file}.
        entries: {format: what its documents say of the image}.
    """

    settings: str
    name: str
    output: str
    content: str
    width: int
    height: int
    files: dict[str, str] = field(default_factory=dict)
    entries: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """As a line of a journal."""
        return json.dumps(dataclasses.asdict(self)) + "\n"


def hash_of(content: bytes) -> str:
    """What tells one file's content from another's, as ``raynef.io.fetch.digest`` of the file."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def key_of(settings: dict[str, Any]) -> str:
    """What tells settings apart."""
    return hash_of(json.dumps(settings, sort_keys=True).encode())


def count_records(folder: Path) -> int:
    """Lines in the journal of a local folder of predictions."""
    parts = sorted((folder / JOURNAL).glob("*.jsonl"))
    return sum(1 for part in parts for _ in part.open("rb"))


class Records:
    """The latest record of each image, in a file of its own that nobody else sees."""

    def __init__(self, settings: str) -> None:
        self._settings = settings
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as this object
        self._places: dict[str, tuple[int, int]] = {}

    def add(self, journal: bytes) -> None:
        """Take the lines of a journal over those before.

        A line that was cut short, or is of other settings, is left out.
        """
        for line in journal.splitlines():
            record = _parse(line)
            if record is not None and record.settings == self._settings:
                place = self._file.seek(0, os.SEEK_END)
                self._file.write(line)
                self._places[record.name] = (place, len(line))
        self._file.flush()

    def names(self) -> list[str]:
        """The images that there is a record of."""
        return list(self._places)

    def get(self, name: str) -> Record | None:
        """The record of an image; from any thread."""
        line = self._line(name)
        return None if line is None else _parse(line)

    def lines(self) -> Iterator[bytes]:
        """All records, as lines of a journal."""
        for name in self._places:
            line = self._line(name)
            assert line is not None
            yield line + b"\n"

    def _line(self, name: str) -> bytes | None:
        place = self._places.get(name)
        return None if place is None else os.pread(self._file.fileno(), place[1], place[0])


def _parse(line: bytes) -> Record | None:
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        return Record(**json.loads(line))
    return None
