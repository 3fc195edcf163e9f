"""``raynef table``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from raynef.cli.command import Command


@dataclass(frozen=True, kw_only=True)
class Table(Command):
    """Write the table of a sweep: Markdown, LaTeX and CSV."""

    sweep: Positional[Path]
    """Folder of the sweep."""

    def execute(self) -> dict[str, Any]:
        from raynef.sweeps.table import write_tables

        return write_tables(self.sweep)
