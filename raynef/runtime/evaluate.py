"""Evaluation on Ray: every validation image, one K×C table, every score from it."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from raynef.assign.contingency import contingency
from raynef.assign.matching import UNMATCHED, match, score
from raynef.core import IGNORE
from raynef.core.errors import BadImageError, UserError
from raynef.core.files import write_json
from raynef.core.recipe import Evaluate, Recipe
from raynef.images.datasets import open_split
from raynef.images.decode import read_image, read_label
from raynef.images.geometry import for_scoring
from raynef.images.imageset import ImageSet, require_labels
from raynef.runtime.features import check_skipped
from raynef.runtime.progress import Progress
from raynef.runtime.run import RunFolder, hold
from raynef.runtime.session import feature_actors, ray_session
from raynef.runtime.stream import Unit, stream
from raynef.segmenter import Mapping, Segmenter, save_mapping

logger = logging.getLogger("raynef")

_MAX_CLASSES = IGNORE  # label files hold 0 … 254


def evaluate(
    out: str | Path, *, recipe: Recipe | None = None, address: str | None = None
) -> dict[str, Any]:
    """Score a run's segmenter on the validation split; the result of ``raynef evaluate``.

    Fits the mapping from clusters to classes on the same images (as the papers do) and saves it
    with the segmenter.

    Args:
        out: the run.
        recipe: whose ``data`` and ``evaluate`` sections to use; the run's own if None.
        address: of a Ray cluster.

    Raises:
        UserError: no labels, a label of another size than its image, or a value that is no class.
    """
    with hold(out) as run:
        recipe = recipe or run.recipe()
        images = open_split(recipe.data, recipe.data.val_split)
        require_labels(images)
        segmenter = Segmenter.load(run.path)
        with ray_session(address):
            table, skipped = contingency_table(run.path, segmenter.num_clusters, recipe, images)
        return _scores(run, recipe, images, table, skipped)


def contingency_table(
    segmenter: Path, num_clusters: int, recipe: Recipe, images: ImageSet
) -> tuple[np.ndarray, dict[str, str]]:
    """The table of all images of a split, int64 [K, C], and the files that were skipped."""
    config = recipe.evaluate
    indices = range(len(images.files))
    num_classes = len(images.class_names) or _MAX_CLASSES
    units: list[Unit] = [
        {
            "files": [images.files[i] for i in indices[start : start + config.batch_size]],
            "config": config,
            "codes": images.label_codes,
            "shape": (num_clusters, num_classes),
        }
        for start in range(0, len(images.files), config.batch_size)
    ]
    table = np.zeros((num_clusters, num_classes), dtype=np.int64)
    skipped: dict[str, str] = {}
    progress = Progress("evaluate", len(images.files), "images")
    results = stream(
        units,
        prepare=read_labelled,
        actor=ContingencyActor,
        actor_kwargs={"segmenter": str(segmenter)},
        actors=feature_actors(),
    )
    for part, bad, num_images, mistake in results:
        if mistake is not None:
            raise UserError(mistake)
        table += part
        skipped.update(bad)
        check_skipped(recipe.data, skipped, len(images.files))
        progress.advance(num_images)
    progress.close()
    if not images.class_names:
        table = table[:, : max(1, int(np.flatnonzero(table.sum(axis=0)).max(initial=0)) + 1)]
    return table, skipped


def read_labelled(unit: Unit) -> Unit:
    """Task: read images and labels, and bring them to the size at which they are scored."""
    config: Evaluate = unit["config"]
    pairs, names, skipped, mistake = [], [], {}, None
    for file in unit["files"]:
        try:
            image = read_image(file.path)
        except BadImageError as error:
            skipped[file.name] = str(error)
            continue
        try:
            label = read_label(file.label, unit["codes"])
            pair = for_scoring(
                image, label, short_side=config.short_side, crop=config.crop, name=file.name
            )
        except UserError as error:  # carried to the driver: an exception here would be retried
            mistake = str(error)
            break
        pairs.append(pair)
        names.append(file.name)
    return {**unit, "pairs": pairs, "names": names, "skipped": skipped, "mistake": mistake}


class ContingencyActor:
    """Actor: segments the images of a unit and counts cluster against class."""

    def __init__(self, segmenter: str, device: str) -> None:
        self.segmenter = Segmenter.load(segmenter, device=device)

    def __call__(self, unit: Unit) -> tuple[np.ndarray, dict[str, str], int, str | None]:
        table = np.zeros(unit["shape"], dtype=np.int64)
        mistake = unit["mistake"]
        try:
            for name, (image, label) in zip(unit["names"], unit["pairs"], strict=True):
                table += contingency(
                    self.segmenter.clusters(image[None])[0],
                    label,
                    num_clusters=unit["shape"][0],
                    num_classes=unit["shape"][1],
                    name=name,
                )
        except UserError as error:
            mistake = str(error)
        return table, unit["skipped"], len(unit["files"]), mistake


def _describe_clusters(
    table: np.ndarray, classes: np.ndarray, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Class and purity (share of a cluster's scored pixels in its class) of matched clusters."""
    return [
        {
            "cluster": int(k),
            "class": names[classes[k]],
            "purity": float(table[k, classes[k]] / table[k].sum()),
        }
        for k in np.flatnonzero(classes != UNMATCHED)
    ]


def _scores(
    run: RunFolder,
    recipe: Recipe,
    images: ImageSet,
    table: np.ndarray,
    skipped: dict[str, str],
) -> dict[str, Any]:
    """Match, score, and save mapping and result."""
    config = recipe.evaluate
    names = images.class_names or tuple(f"class_{i}" for i in range(table.shape[1]))
    classes = match(table, config.match)
    scores = score(table, classes)
    save_mapping(run.path, Mapping(tuple(int(c) for c in classes), names))
    result = {
        "run": str(run.path),
        "miou": scores.miou,
        "accuracy": scores.accuracy,
        "per_class_iou": {
            name: None if np.isnan(iou) else float(iou)
            for name, iou in zip(names, scores.iou, strict=True)
        },
        "num_images": len(images.files) - len(skipped),
        "protocol": f"reco: short side {config.short_side}, centre crop {config.crop}",
        "matching": {"iou": "majority by IoU", "count": "majority by pixels"}.get(
            config.match, "Hungarian"
        )
        + f", fitted on the {images.split or 'whole'} images that are scored",
        "data": images.root,
        "skipped": skipped,
    }
    write_json(
        run.evaluate_file,
        {**result, "class_names": names, "clusters": _describe_clusters(table, classes, names)},
    )
    logger.info(
        "mIoU %.1f %%, accuracy %.1f %% on %d images",
        100 * scores.miou,
        100 * scores.accuracy,
        result["num_images"],
    )
    return result
