"""``raynef spectral matte``."""

from pathlib import Path

from raynef.cli.command import Positional, Presets, RecipeCommand, Result


class Matte(RecipeCommand):
    """Soft layers of one photograph at full resolution, as RGBA images."""

    presets: Presets = ("dsm",)
    image: Positional[str]
    """A photograph; a path or an address."""
    out: Path
    """Folder for the layers."""
    num_layers: int = 5
    """Layers."""
    max_side: int = 640
    """Longest side at which they are made; a larger photograph is resized for it."""
    seed: int = 0
    """Of the affinities that are drawn, and of K-means."""

    def execute(self) -> Result:
        from raynef.jobs.spectral.matte import matte

        return matte(
            self.image,
            self.config,
            self.out,
            num_layers=self.num_layers,
            max_side=self.max_side,
            seed=self.seed,
        )
