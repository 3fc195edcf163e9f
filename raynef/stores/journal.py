"""The files of a store that say how far it is; ``raynef status`` reads them without pyarrow."""

import contextlib
import json
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
"""The key's parts, every shard, the skipped files: present when the store is complete."""
JOURNAL = "progress.jsonl"
"""While the store is made: its key, then a line for each finished shard."""
LEFT = "shards.jsonl"
"""The journal, once the store is finished."""


def read_journal(journal: Path) -> list[Any]:
    """The lines of a journal, none where there is no file.

    A line that a kill or a full disk cut short is left out: its shard is recomputed.
    """
    entries = []
    for line in journal.read_bytes().splitlines() if journal.is_file() else ():
        with contextlib.suppress(ValueError, RecursionError):
            entries.append(json.loads(line))
    return entries
