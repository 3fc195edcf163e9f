"""``raynef spectral eigen``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynef.cli.command import Address, Presets, RecipeCommand


@dataclass(frozen=True, kw_only=True)
class Eigen(RecipeCommand):
    """Features, affinity and eigenpairs of every image. The same command again resumes."""

    presets: Presets = ("dsm",)
    out: Path
    """Folder of the store."""
    features: Path | None = None
    """Folder of features to share with other stores; by default OUT/features."""
    address: Address = None

    def execute(self) -> dict[str, Any]:
        from raynef.jobs.spectral.eigen import eigen

        return eigen(self.config, self.out, features=self.features, address=self.address)
