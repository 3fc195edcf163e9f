"""The files of a feature store that say how far it is."""

import json
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
"""The key's parts, every shard, the skipped files: present when the store is complete."""
JOURNAL = "progress.jsonl"
"""While the store is made: its key, then a line for each finished shard."""


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """The entries of a store that is being made; the line that a kill cut short is left out."""
    journal = folder / JOURNAL
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.is_file() else []
    entries = []
    for line in lines:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue  # its shard is made again
    return entries
