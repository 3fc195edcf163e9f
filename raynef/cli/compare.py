"""``raynef compare``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from raynef.cli.command import Address, Command


@dataclass(frozen=True, kw_only=True)
class Compare(Command):
    """Make a table of methods and data sets, from one file. The same command again resumes."""

    file: Positional[Path]
    """A .yaml file with rows and columns; see docs/compare.yaml."""
    out: Path
    """Folder for runs and table."""
    address: Address = None

    def execute(self) -> dict[str, Any]:
        from raynef.sweeps.compare import compare

        return compare(self.file, self.out, address=self.address)
