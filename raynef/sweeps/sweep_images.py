"""Validation images as several trials of a sweep see them: the gallery of its report."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from raynef.cluster.devices import device_here
from raynef.config.recipe import from_dict
from raynef.images.datasets.registry import open_split
from raynef.jobs.report import gallery_items, read_images, seen_by, spread
from raynef.models.segmenter import Segmenter
from raynef.report.sweep_records import SweepImage, TrialMap
from raynef.sweeps.state import RunScore

logger = logging.getLogger("raynef")

NUM_IMAGES, NUM_TRIALS = 4, 6

_Read = list[tuple[str, np.ndarray, np.ndarray | None]]
"""As ``read_images`` makes it."""


@dataclass(frozen=True)
class Shown:
    """A trial of the gallery: its short name, its run, and its first score with data and protocol.

    Attributes:
        name: above its pictures.
        run: folder with the segmenter.
        score: of the trial.
    """

    name: str
    run: Path
    score: RunScore


def sweep_images(trials: Sequence[Shown]) -> tuple[tuple[SweepImage, ...], str | None]:
    """At most 4 images, each with what at most 6 trials on its data found, and what went wrong.

    All trials of one data set see the same pixels, so that what differs is the trial.
    """
    by_data: dict[tuple[str, ...], list[Shown]] = {}
    for trial in trials:
        data = trial.score.data
        by_data.setdefault((data["name"], str(data["root"]), data["val_split"]), []).append(trial)
    groups = list(by_data.values())[:NUM_IMAGES]
    images, notes = [], []
    for group in groups:
        try:
            read = _read(group[0].score, NUM_IMAGES // len(groups))
        # A report is written of what there is: data sets are moved and deleted after a sweep.
        except Exception as error:  # noqa: BLE001
            logger.warning("gallery: validation images cannot be read: %s", error)
            notes.append(f"The validation images cannot be read: {error}")
            continue
        if not read:
            notes.append(f"No validation image of {group[0].score.data['root']} can be read.")
        found: list[list[TrialMap]] = [[] for _ in read]
        for trial in spread(group, NUM_TRIALS):
            try:
                for maps, found_map in zip(found, _maps(trial, read), strict=True):
                    maps.append(found_map)
            except Exception as error:  # noqa: BLE001  (one damaged run hides no other)
                logger.warning("gallery: %s is left out: %s", trial.name, error)
                notes.append(f"{trial.name} is left out: {error}")
        images += [
            SweepImage(name, image, tuple(maps))
            for (name, image, _), maps in zip(read, found, strict=True)
            if maps
        ]
    return tuple(images), " ".join(notes) or None


def _read(score: RunScore, count: int) -> _Read:
    """Images of the validation split that a score was measured on, without their labels."""
    recipe = from_dict({"data": dict(score.data), "evaluate": dict(score.evaluate)})
    shown = open_split(recipe.data, recipe.data.val_split)
    files = [replace(file, label=None) for file in spread(shown.files, count)]
    return read_images(files, shown.label_codes, recipe.evaluate)


def _maps(trial: Shown, images: _Read) -> list[TrialMap]:
    """What a trial found in each of the images: classes where its clusters have names."""
    segmenter = Segmenter.load(trial.run, device=device_here())
    seen = seen_by(segmenter, [image for _, image, _ in images])
    return [
        TrialMap(trial.name, item.clusters, classes=False)
        if item.classes is None
        else TrialMap(trial.name, item.classes, classes=True)
        for item in gallery_items(images, seen, segmenter.mapping)
    ]
