"""What of a training goes to loggers: its recipe, every epoch, its end, scores; see docs/runs.md.

All of it is told on the driver by events that are there without it, after each epoch's checkpoint:
weights and losses are the same with and without. Pictures are of training images, and no label is
opened for them.
"""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raynef.cluster.devices import device_here
from raynef.cluster.events import EpochDone, Event, Resumed
from raynef.config.recipe import Recipe, to_dict
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.registry import open_split
from raynef.images.geometry import resize, short_side_size
from raynef.io.loggers.backend import Log, Plain
from raynef.io.loggers.choice import Loggers
from raynef.io.loggers.run_log import RunLog, loggers_of, run_log, unfinished
from raynef.io.storage import without_secrets
from raynef.jobs.epochs import epochs_done
from raynef.models.segmenter import Segmenter
from raynef.report.palette import overlay, palette
from raynef.stores.run import SEEDS, RunFolder
from raynef.work.units import readable

logger = logging.getLogger("raynef")

_OVERLAYS = 4
_COMPARED = ("train/loss", "train/objective", "evaluate/miou", "evaluate/accuracy")
_OF_RESULT = ("seconds", "images_per_second", "num_images", "steps", "empty_steps")


class TrainingLog:
    """Hears the events of a training, and logs them."""

    def __init__(self, run: RunFolder, log: RunLog, chosen: Loggers) -> None:
        self._run, self._log, self._chosen = run, log, chosen

    def hear(self, event: Event) -> None:
        """An event of ``Worker.tell``."""
        if isinstance(event, Resumed):
            for done in event.epochs:  # of which the logs may lack the last
                self.hear(done)
        elif isinstance(event, EpochDone):
            values = {f"train/{name}": float(value) for name, value in event.values.items()}
            self._log.scalars(values, step=event.epoch)

    def finish(self, result: Mapping[str, Any], images: ImageSet) -> None:
        """Log a result, and what the segmenter makes of a few images, once for so many epochs."""
        epochs = result["epochs"]
        if not unfinished(self._run.path, self._chosen, epochs).names:
            return
        values = {name: result[name] for name in _OF_RESULT}
        values |= {f"{part}_per_step": s for part, s in result["step_seconds"].items()}
        self._log.scores({f"result/{name}": float(v) for name, v in values.items()}, step=epochs)
        self._log.finish(_overlays(self._run, images), step=epochs)


@contextlib.contextmanager
def training_log(run: RunFolder, recipe: Recipe, chosen: Loggers) -> Iterator[TrainingLog]:
    """The logs of a training, which begin here or go on."""
    log = Log(run.path, _name(run.path), _config(recipe), _COMPARED)
    with run_log(log, chosen) as opened:
        yield TrainingLog(run, opened, chosen)


def complete_log(run: RunFolder, recipe: Recipe, chosen: Loggers) -> None:
    """Log what loggers lack of a finished run: all of it, or what a kill came before."""
    result = run.finished()
    if result is None:
        return
    chosen = unfinished(run.path, chosen, result["epochs"])
    if not chosen.names:
        return
    try:
        images = open_split(recipe.data, recipe.data.train_split)
        with run.steps_file.open(encoding="utf-8") as lines:
            history = [json.loads(line) for line in lines]
    except (UserError, OSError, ValueError) as error:
        logger.warning("the log of %s is not completed: %s", run.path, error)
        return
    per_epoch = len(history) // result["epochs"]
    done = epochs_done(recipe, history, per_epoch, {}, recipe.train.batch_size)
    with training_log(run, recipe, chosen) as log:
        log.hear(Resumed(len(history), done))
        log.finish(result, images)


def log_evaluation(path: Path, result: Mapping[str, Any], *, data: str) -> None:
    """Log the scores of a run by the loggers that it was trained with.

    Args:
        path: of the run.
        result: of ``raynef evaluate``.
        data: what was scored, as names of scores begin: evaluate, where it is the run's own.
    """
    chosen = loggers_of(path)
    if not chosen.names:
        return
    scores = {f"{data}/{name}": result[name] for name in ("miou", "accuracy")}
    after = result.get("crf") or {}
    scores |= {f"{data}/{name}_crf": after[name] for name in ("miou", "accuracy") if after}
    finished = RunFolder(path).finished() or {}
    with run_log(Log(path, _name(path)), chosen) as log:
        log.scores(scores, step=finished.get("epochs", 0))


def _name(path: Path) -> str:
    """A run by its folder; one of several seeds by theirs too."""
    return f"{path.parent.name}/{path.name}" if (path.parent / SEEDS).is_file() else path.name


def _config(recipe: Recipe) -> dict[str, Plain]:
    """Fields by dotted name; addresses without the secrets in them, for they may leave here."""
    found: dict[str, Plain] = {}
    for section, fields in to_dict(recipe).items():
        for name, value in fields.items():
            if isinstance(value, str):
                value = without_secrets(value)
            plain = value is None or isinstance(value, bool | int | float | str)
            found[f"{section}.{name}"] = value if plain else json.dumps(value)
    return found


def _overlays(run: RunFolder, images: ImageSet) -> dict[str, np.ndarray]:
    """A few training images with their clusters in color; none, with a warning, where that fails:
    the training is done."""
    try:
        return _made_overlays(run, images)
    except Exception as error:  # noqa: BLE001  # such as no memory on a device
        logger.warning("pictures for the log cannot be made: %s", error)
        return {}


def _made_overlays(run: RunFolder, images: ImageSet) -> dict[str, np.ndarray]:
    """At the size that the segmenter sees."""
    segmenter = Segmenter.load(run.path, device=device_here())
    picks = np.linspace(0, len(images.files) - 1, min(_OVERLAYS, len(images.files)))
    files = [images.files[pick] for pick in np.unique(picks.round().astype(int))]
    colors, found = palette(segmenter.num_clusters), {}
    for index, _, image in readable(files, {}):
        small = resize(image, short_side_size(image.shape, segmenter.short_side))
        clusters = segmenter.clusters(small[None])[0]
        found[f"overlays/{index}"] = overlay(small, clusters, colors)
    return found
