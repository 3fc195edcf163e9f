"""A folder of predictions, local or at any Arrow address: how far it is, and of what settings.

OUT/journal/settings.json        all that shapes the results
OUT/journal/NNNNNN-CODE.jsonl    records of images, written when their files are; one at the end

An image is done where its file, and every file that was made of it, still have the content that the
record says. What a kill cut short has no record. A later number counts before an earlier one; CODE
is of one command, so that a task that outlives its command does not write over another's.
"""

import json
import logging
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from raynef.images.datasets.imageset import ImageFile
from raynef.io.fetch import digest
from raynef.io.files import within
from raynef.io.sink import remove, write_bytes, write_made
from raynef.io.storage import join, list_files, read_bytes, without_secrets
from raynef.stores.formats.registry import documents_of
from raynef.stores.journal import MANIFEST
from raynef.stores.predicted import JOURNAL, SETTINGS, Records, key_of

logger = logging.getLogger("raynef")

_THREADS = 8  # that read files again, on a disk or at an address, and wait for them


class Predictions:
    """A folder of predictions of some settings, as one command works on it.

    Args:
        location: a path or an address.
        settings: plain values, by names that a user knows.
    """

    def __init__(self, location: str, settings: dict[str, Any]) -> None:
        self.location, self.settings = location, settings
        self.key = key_of(settings)
        self.records = Records(self.key)
        self._last, self._code = 0, secrets.token_hex(4)

    def begin(self) -> None:
        """Take up what is there: records of these settings count, results of others are removed.

        The manifest goes: it says that all is done.
        """
        self._remove(MANIFEST)
        earlier = self._earlier_settings()
        if earlier is not None and earlier != self.settings:
            names = [n for n in {**earlier, **self.settings} if _differ(n, earlier, self.settings)]
            logger.warning(
                "%s holds results of other settings (%s); they are made again, by these",
                without_secrets(self.location),
                ", ".join(sorted(names)),
            )
            self._clear(earlier)
        if earlier != self.settings:
            text = json.dumps(self.settings, indent=2, ensure_ascii=False)
            write_bytes(join(self.location, SETTINGS), text.encode())
        self.read_parts()

    def read_parts(self) -> None:
        """Take over the records that were written since."""
        for part, name in (parts := self._parts()):
            if part > self._last:
                self.records.add(read_bytes(self._place(name)))
        self._last = max(self._last, *(part for part, _ in parts), 0)

    def done(self, files: Iterable[ImageFile], outputs: Iterable[str]) -> set[str]:
        """Names of the images that need not be segmented again.

        Files of the others that had another name, as ``a.png`` of an image that is ``a.jpg.png``
        since another has its stem, are removed.
        """
        known = {
            file.name: (file, output)
            for file, output in zip(files, outputs, strict=True)
            if self.records.get(file.name) is not None
        }
        if not known:
            return set()
        paths = list({file.path for file, _ in known.values()})  # frames of a video share one
        with ThreadPoolExecutor(_THREADS) as pool:
            contents = dict(zip(paths, pool.map(_content, paths), strict=True))
            wanted = ((name, output, contents[f.path]) for name, (f, output) in known.items())
            are_done = pool.map(lambda one: self._is_done(*one), wanted)
            found = {name for name, is_done in zip(known, are_done, strict=True) if is_done}
        moved = {
            path
            for name, (_, output) in known.items()
            if (record := self.records.get(name)) is not None and record.output != output
            for path in record.files
        }
        for path in moved - self._files_of(found) if moved else ():
            self._remove(path)
        return found

    def _files_of(self, names: Iterable[str]) -> set[str]:
        records = (self.records.get(name) for name in names)
        return {path for record in records if record is not None for path in record.files}

    def _is_done(self, name: str, output: str, content: str | None) -> bool:
        record = self.records.get(name)
        if record is None or record.output != output or record.content != content:
            return False
        return all(
            _content(join(self.location, path)) == made for path, made in record.files.items()
        )

    def next_parts(self, count: int) -> list[str]:
        """Locations for so many further parts of the journal."""
        return [self._part(self._last + number) for number in range(1, count + 1)]

    def gone(self, names: Iterable[str]) -> dict[str, list[str]]:
        """{image: its files} of the images that have a record, and are none of these any more."""
        here = set(names)
        gone = [name for name in self.records.names() if name not in here]
        taken = self._files_of(here) if gone else set()  # by an image of the same stem
        return {name: sorted(self._files_of([name]) - taken) for name in gone}

    def finish(self, scratch: Path) -> None:
        """Make one file of the journal."""
        parts = self._parts()
        if len(parts) < 2:
            return

        def write(path: Path) -> None:
            with path.open("wb") as file:
                file.writelines(self.records.lines())

        self._last = parts[-1][0] + 1
        write_made(self._part(self._last), write, scratch)
        for _, name in parts:
            remove(self._place(name))

    def _clear(self, settings: dict[str, Any]) -> None:
        """Remove what was made by earlier settings, and then its journal."""
        earlier = Records(key_of(settings))
        parts = self._parts()
        for _, name in parts:
            earlier.add(read_bytes(self._place(name)))
        for image in earlier.names():
            record = earlier.get(image)
            for path in record.files if record else ():
                self._remove(path)
        for path in ("legend.json", "classes.json", *documents_of(settings.get("format", ()))):
            self._remove(path)
        for _, name in parts:
            remove(self._place(name))

    def _earlier_settings(self) -> dict[str, Any] | None:
        try:
            found = json.loads(read_bytes(join(self.location, SETTINGS)))
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _parts(self) -> list[tuple[int, str]]:
        """(number, name) of the parts of the journal, in order."""
        names = list_files(join(self.location, JOURNAL), suffixes=(".jsonl",), recursive=False)
        numbers = ((name.partition("-")[0], name) for name in names)
        return sorted((int(number), name) for number, name in numbers if number.isdecimal())

    def _part(self, number: int) -> str:
        return self._place(f"{number:06d}-{self._code}.jsonl")

    def _place(self, name: str) -> str:
        return join(self.location, JOURNAL, name)

    def _remove(self, path: str) -> None:
        within(Path(self.location), path)  # a journal may have been edited
        remove(join(self.location, path))


def _differ(name: str, one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.get(name) != other.get(name)


def _content(location: str) -> str | None:
    """Hash of a file; None where it cannot be read."""
    try:
        return digest(location)
    except OSError:
        return None
