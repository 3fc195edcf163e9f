"""``raynef table``."""

from pathlib import Path

from raynef.cli.command import Command, Positional, Result


class Table(Command):
    """Write the table of a sweep: Markdown, LaTeX and CSV."""

    sweep: Positional[Path]
    """Folder of the sweep."""

    def execute(self) -> Result:
        from raynef.sweeps.table import write_tables

        return write_tables(self.sweep)
