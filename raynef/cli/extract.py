"""``raynef extract``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynef.cli.command import Address, RecipeCommand


@dataclass(frozen=True, kw_only=True)
class Extract(RecipeCommand):
    """Make a feature store alone, to be shared by many runs (--train.store)."""

    out: Path
    """Folder of the store."""
    address: Address = None

    def execute(self) -> dict[str, Any]:
        from raynef.jobs.extract import extract_store

        return extract_store(self.config, self.out, address=self.address)
