"""``raynef train``."""

import logging
import time
from functools import partial
from pathlib import Path

from raynef.cli.command import JobCommand, RecipeCommand, Result, Seeds
from raynef.config.recipe import BUNDLED_BACKBONE, Recipe
from raynef.io.loggers.choice import NOWHERE, LoggerName, Loggers, loggers

logger = logging.getLogger("raynef")

_SMALL = (
    "backbone: %s, the small one that comes with raynef. K-means of its features on MSRC reaches "
    "34 %% mIoU, of a ViT-Ti's 61 %%; --recipe folder dinov2_s takes DINOv2's ViT-S/14: a download "
    "of 88 MB, and some 20 times the work for each image"
)


class Train(RecipeCommand, JobCommand):
    """Train a segmenter on images without labels. The same command again resumes; with more
    --train.epochs it goes on from the last checkpoint."""

    out: Path
    """Folder of the run."""
    init_from: Path | None = None
    """Start from the weights of this run's eigenfunctions; optimizer and schedule are new."""
    logger: tuple[LoggerName, ...] = ("tensorboard",)
    """Where every epoch is logged, one or several. TensorBoard's files go to OUT/tensorboard:
    tensorboard --logdir OUT."""
    mlflow: str | None = None
    """Also log to MLflow, at this tracking address."""
    wandb: str | None = None
    """Also log to this project of Weights & Biases."""
    seeds: Seeds = ()

    def execute(self) -> Result:
        if self.config.backbone.name == BUNDLED_BACKBONE and self.config.data.name == "folder":
            logger.info(_SMALL, BUNDLED_BACKBONE)
        logged_by = loggers(self.logger, mlflow=self.mlflow, wandb=self.wandb)
        job = partial(train_and_report, init_from=self.init_from, logged_by=logged_by)
        return self.over_seeds(job, self.out, self.seeds, self.address)


def train_and_report(
    config: Recipe,
    out: Path,
    *,
    init_from: Path | None = None,
    address: str | None = None,
    logged_by: Loggers = NOWHERE,
) -> Result:
    """Train, and write the report where there is none yet."""
    since = time.monotonic()  # to import what follows takes seconds
    from raynef.jobs.report import write_report
    from raynef.jobs.train import train
    from raynef.stores.run import RunFolder

    result = train(
        config, out, init_from=init_from, address=address, logged_by=logged_by, since=since
    )
    if not RunFolder(out).report_file.is_file():
        write_report(out)
    return result
