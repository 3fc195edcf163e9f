"""``raynef demo``."""

from pathlib import Path

from raynef.cli.command import Presets, RecipeCommand, Result


class Demo(RecipeCommand):
    """Train, evaluate, segment and report on a rendered sample, in minutes."""

    presets: Presets = ("demo",)
    out: Path = Path("raynef-demo")
    """Folder of the run."""
    num_train: int = 160
    """Scenes to train on."""
    num_val: int = 40
    """Scenes to evaluate on."""

    def execute(self) -> Result:
        from raynef.demo.demo import demo

        return demo(self.config, self.out, num_train=self.num_train, num_val=self.num_val)
