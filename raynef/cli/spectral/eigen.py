"""``raynef spectral eigen``."""

from pathlib import Path

from raynef.cli.command import JobCommand, Presets, RecipeCommand, Result


class Eigen(RecipeCommand, JobCommand):
    """Features, affinity and eigenpairs of every image. The same command again resumes."""

    presets: Presets = ("dsm",)
    out: Path
    """Folder of the store."""
    features: Path | None = None
    """Folder of features to share with other stores; by default OUT/features."""

    def execute(self) -> Result:
        from raynef.jobs.spectral.eigen import eigen

        return eigen(self.config, self.out, features=self.features, address=self.address)
