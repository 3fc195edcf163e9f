"""``raynef compare``."""

from pathlib import Path

from raynef.cli.command import Address, Command, Positional, Result


class Compare(Command):
    """Make a table of methods and data sets, from one file. The same command again resumes."""

    file: Positional[Path]
    """A .yaml file with rows and columns; see docs/compare.yaml."""
    out: Path
    """Folder for runs and table."""
    address: Address = None

    def execute(self) -> Result:
        from raynef.sweeps.compare import compare

        return compare(self.file, self.out, address=self.address)
