"""What a sweep is asked for, checked before anything is made, and its folder held."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from raynef.core.errors import UserError
from raynef.features.blocks import load_block_features
from raynef.images.datasets.boxes import require_boxes
from raynef.images.datasets.imageset import ImageSet, require_labels
from raynef.images.datasets.registry import open_split
from raynef.io.holds import locked
from raynef.io.log import LEAVES, logged
from raynef.io.storage import without_secrets
from raynef.jobs.clusters import with_clusters
from raynef.jobs.extract import fitting_backbone
from raynef.jobs.spectral.objects import has_masks
from raynef.segment.crf import require_crf
from raynef.sweeps.methods import METHODS, with_crf
from raynef.sweeps.space import BACKBONE, INCOMPARABLE, Space
from raynef.sweeps.sweep import DataSet, Target

logger = logging.getLogger("raynef")

_OF_BACKBONE = {BACKBONE, "spectral.feature", "spectral.block", "spectral.stage"}
"""Axes along which some backbones or blocks may not do: each trial says so for itself."""


def opened(space: Space, dataset: DataSet) -> DataSet:
    """With its number of classes; a wrong path is said here, before hours are spent."""
    images = open_split(dataset.recipe.data, dataset.recipe.data.train_split)
    recipe = with_clusters(dataset.recipe, num_images=len(images.files))
    if space.is_spectral:
        require_truth(space.methods, images)
        if not {axis.key for axis in space.axes} & _OF_BACKBONE:
            load_block_features(recipe.backbone, recipe.spectral)
    else:
        fitting_backbone(recipe)
    return replace(dataset, recipe=recipe, num_classes=len(images.class_names) or None)


def with_crf_columns(space: Space, data: Sequence[DataSet], targets: Sequence[Target]) -> Space:
    """The space with its metrics after the CRF beside them, where any score has one.

    Raises UserError where that cannot be made here.
    """
    scored = [target.evaluate for target in targets] or [d.recipe.evaluate for d in data]
    on_axis = any(axis.key == "evaluate.crf" for axis in space.axes)
    if space.is_spectral or not (on_axis or any(evaluate.crf for evaluate in scored)):
        return space
    require_crf()
    return replace(space, metrics=with_crf(space.metrics))


def check_request(
    space: Space, data: Sequence[DataSet], targets: Sequence[Target], seeds: Sequence[int]
) -> None:
    names = [dataset.name for dataset in data]
    if not names:
        raise UserError("a sweep needs a data set: --recipe NAME --data.root DIR, or --roots")
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two data sets have the name {name}; give them folders of other names")
    if space.targets and not targets:
        raise UserError(
            f"{space.source} scores its runs on other data; name some, as in the paper: --targets "
            + " ".join(f"{name}=DIR" for name in space.targets)
        )
    if space.search is not None and (len(data) > 1 or len(seeds) > 1):
        raise UserError(
            f"{space.source} is a search: it takes one data set and one seed, got {len(data)} and "
            f"{len(seeds)}"
        )


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """Hold the sweep's folder, so that no other process may."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file, not a folder")
    known = {*LEAVES, "sweep.json", "features", "scored", "spectral", "trials", "tune"}
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if "sweep.json" not in there and there - known:
        raise UserError(f"--out {out} is not empty and no sweep of raynef; give another folder")
    with locked(out, f"another live sweep holds {out}; wait for it"), logged(out):
        yield


def say_start(space: Space, total: int, left: int) -> None:
    """Say what is asked for, and what steers a search."""
    logger.info("%s: %d trials, %d of them done", space.title, total, total - left)
    if space.search is None:
        return
    what = space.search.metric
    logger.info(
        "%s search of %d points, scheduler %s, by %s",
        space.search.algorithm,
        space.search.num_samples,
        space.search.scheduler,
        "validation mIoU" if what == "miou" else f"the {what}, which sees no label",
    )
    misleading = [axis.key for axis in space.axes if axis.key in INCOMPARABLE]
    if what == "objective" and misleading:
        logger.warning(
            "the objective does not compare runs across %s: it is larger for the easier problem, "
            "such as a smaller K; set these in the recipe, or read the table by mIoU",
            ", ".join(misleading),
        )
    if what == "agreement" and "eigen.num_eigenfunctions" in {axis.key for axis in space.axes}:
        logger.warning("the agreement was not tried across K; set K in the recipe")
    if what == "miou":
        logger.warning(
            "search.metric is miou: the LABELS of the validation split steer this search. What it "
            "finds is no longer unsupervised; score it on images that took no part"
        )


def require_truth(methods: Sequence[str], images: ImageSet) -> None:
    """Raise UserError unless a data set has what some methods are scored on."""
    needed = {METHODS[method].truth for method in methods}
    if "boxes" in needed:
        require_boxes(images)
    if "labels" in needed:
        require_labels(images)
    if "masks" in needed and not has_masks(images):
        raise UserError(
            f"{without_secrets(images.root)} has no masks of two classes, background and "
            "foreground; object is scored on cub, duts_te, dut_omron, ecssd, or a folder with "
            "labels of two classes"
        )
