"""``raynef plan``."""

from dataclasses import field
from typing import ClassVar

from raynef.cli.command import RecipeCommand, Result
from raynef.ops.pace import StatedRates


class Plan(RecipeCommand):
    """Estimate hours, bytes and limits of a run, from short measurements here or stated rates."""

    says_result: ClassVar[bool] = True

    images: float | None = None
    """Images that train, such as 1.28e6; counted under --data.root if not given."""
    val_images: float | None = None
    """Images that are scored; counted likewise, or left out of the plan."""
    gpus: int | None = None
    """GPUs of the cluster, one worker on each; this machine as it is if not given."""
    workers: int | None = None
    """Workers that train, if not one on each GPU, or --train.num-workers."""
    cores: int | None = None
    """Cores that decode, of the whole cluster; as many as this machine has for each GPU."""
    rates: StatedRates = field(default_factory=StatedRates)
    """What is known is not measured."""

    def execute(self) -> Result:
        from raynef.ops.plan import plan

        return plan(
            self.config,
            images=self.images,
            val_images=self.val_images,
            gpus=self.gpus,
            workers=self.workers,
            cores=self.cores,
            stated=self.rates,
        )
