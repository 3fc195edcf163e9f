"""How far a store of shards is while it is made: what is finished survives a kill.

STORE/progress.jsonl     its key, then a line for each finished shard; afterwards it is
STORE/shards.jsonl       which tells the same as the manifest, should that be damaged
"""

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from raynef.core.errors import UserError
from raynef.io.files import append_line, write_text
from raynef.stores.journal import JOURNAL, LEFT, MANIFEST, read_journal
from raynef.stores.keys import require_same_key
from raynef.stores.shards import (
    NOT_WRITTEN,
    Manifest,
    images_in,
    parse_reasons,
    parse_shard,
    read_manifest,
    shard_in,
)
from raynef.stores.verify import Shard, find_faults, remember

logger = logging.getLogger("raynef")


class StoreProgress:
    """The journal of a store that is being made, by who holds its lock.

    What it says of a shard counts if the file still has the checksum that it was written with.
    Raises UserError where the folder holds another key.
    """

    def __init__(self, folder: Path, key: dict[str, Any]) -> None:
        self.folder, self.key = folder, key
        self.shards: dict[str, Shard] = {}
        self.skipped: dict[str, str] = {}
        self._damaged: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.tmp"):  # by a kill
            left.unlink(missing_ok=True)
        self._journal = folder / JOURNAL
        if not self._journal.is_file() and (folder / LEFT).is_file():
            os.replace(folder / LEFT, self._journal)
        found = _parse(self._journal)
        self._went_on = found is not None
        if found is None:
            write_text(self._journal, json.dumps({"key": key}) + "\n")
            return
        require_same_key(folder, found.key, key)
        append_line(self._journal, "")  # so that a cut line does not swallow the next
        self.shards = {shard.file: shard for shard in found.shards}
        self.skipped = dict(found.skipped)
        for file, fault in find_faults(folder, self.shards.values()).items():
            logger.warning("%s %s; it is recomputed", folder / file, fault)
            del self.shards[file]
            self._damaged.add(file)

    def add(self, shard: Shard | None, skipped: dict[str, str]) -> None:
        """Note a finished shard (None where not one of its images could be read)."""
        append_line(self._journal, _line(shard, skipped))
        if shard is not None:
            self.shards[shard.file] = shard
        self.skipped.update(skipped)

    def adopt(self, file: str, *, view: int, images: list[int]) -> bool:
        """Note a shard that lies here unnoted: its driver was killed before it heard of it.

        A shard takes its name when it is whole, and the journal says whose folder this is. One that
        lacks an image is recomputed, for why it lacks it is not known.
        """
        path = self.folder / file
        if not self._went_on or file in self._damaged or not path.is_file():
            return False
        if images_in(path) != images:
            return False
        self.add(shard_in(path, view, images), {})
        return True

    def complete(self) -> None:
        """Write the manifest: from now on the store is whole. The journal stays beside it."""
        shards = tuple(self.shards[file] for file in sorted(self.shards))
        Manifest(self.key, shards, self.skipped).write(self.folder)
        os.replace(self._journal, self.folder / LEFT)
        remember(self.folder, shards)


def _line(shard: Shard | None, skipped: dict[str, str]) -> str:
    return json.dumps({"shard": vars(shard) if shard else None, "skipped": skipped})


def _parse(journal: Path) -> Manifest | None:
    """What a journal says so far; None where there is none, or its key is lost."""
    lines = read_journal(journal)
    if not lines or not isinstance(lines[0], dict) or not isinstance(lines[0].get("key"), dict):
        return None
    shards: list[Shard] = []
    skipped: dict[str, str] = {}
    for line in lines[1:]:
        with contextlib.suppress(*NOT_WRITTEN):
            shard = None if line["shard"] is None else parse_shard(line["shard"])
            skipped |= parse_reasons(line["skipped"])
            shards += [shard] if shard else []
    return Manifest(lines[0]["key"], tuple(shards), skipped)


def begun_key(folder: Path) -> dict[str, Any] | None:
    """The key of a store that is finished or begun; None where there is none that can be read."""
    with contextlib.suppress(UserError):
        return read_manifest(folder).key
    found = _parse(folder / JOURNAL) or _parse(folder / LEFT)
    return found.key if found else None


def reopen(folder: Path, key: dict[str, Any]) -> None:
    """Make a journal of a finished store, where a manifest or a shard is damaged; holds the lock.

    The manifest goes; what is sound is not recomputed. Where the manifest itself is damaged, the
    journal that was left beside it tells the same. Raises UserError where neither can be read, or
    the folder holds another key.
    """
    try:
        found = read_manifest(folder)
    except UserError as error:
        left = folder / (LEFT if (folder / LEFT).is_file() else JOURNAL)
        journal = _parse(left)
        if journal is None:
            raise UserError(
                f"{error}, and there is no {LEFT} to make it from; delete {folder} "
                "and run the same command again"
            ) from error
        require_same_key(folder, journal.key, key)
        logger.warning("%s; it is recomputed from %s", error, left.name)
        os.replace(left, folder / JOURNAL)
    else:
        require_same_key(folder, found.key, key)
        lines = [json.dumps({"key": found.key}), _line(None, found.skipped)]
        lines += [_line(shard, {}) for shard in found.shards]
        write_text(folder / JOURNAL, "\n".join(lines) + "\n")
    (folder / MANIFEST).unlink(missing_ok=True)
