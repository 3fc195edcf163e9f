"""Evaluation on Ray: every image of a split, one K×C table, every score from it."""

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

from raynef.cluster.session import ray_session
from raynef.config.recipe import Data, Recipe, fingerprint
from raynef.core.errors import UserError
from raynef.features.clip import CAPTIONS
from raynef.images.datasets.imageset import ImageSet, require_labels
from raynef.images.datasets.registry import open_split
from raynef.io.files import write_json
from raynef.io.storage import absolute, file_sizes, name_of
from raynef.jobs.counting import count
from raynef.jobs.product import origin_of, tau_of
from raynef.jobs.results import (
    class_names,
    crf_in_words,
    edges_apart,
    matching_in_words,
    name_and_score,
    protocol_in_words,
)
from raynef.jobs.training_log import log_evaluation
from raynef.models.heads import LinearHead
from raynef.models.origin import Evaluated, save_origin
from raynef.models.segmenter import Mapping, Segmenter, save_mapping
from raynef.segment.crf import Temperature, require_crf
from raynef.stores.run import RunFolder, hold

logger = logging.getLogger("raynef")


def evaluate(
    out: str | Path,
    *,
    recipe: Recipe | None = None,
    address: str | None = None,
    kept: Path | None = None,
) -> dict[str, Any]:
    """Score a run's segmenter on a validation split; the result of ``raynef evaluate``.

    Clusters are named by the labels of the same images (as in the papers) or of the training split
    (``evaluate.match_on``), for plain maps and for those after a CRF apart; a supervised head, or
    one of texts, knows its classes. RUN/evaluate.json holds the scores on the run's own data, whose
    names the segmenter keeps; RUN/evaluate-….json those on other data.

    Args:
        out: the run.
        recipe: whose ``data`` and ``evaluate`` sections to use; the run's own if None.
        address: of a Ray cluster.
        kept: see ``raynef.jobs.counting.count``.

    Raises:
        UserError: no labels, a label of another size than its image, a value that is no class, or
            other classes than a supervised head's.
    """
    with hold(out) as run:
        own = run.recipe()
        recipe = recipe or own
        config = recipe.evaluate
        if config.crf:
            require_crf()
        images = open_split(recipe.data, recipe.data.val_split)
        require_labels(images)
        segmenter = Segmenter.load(run.path)
        splits = {"evaluate": images}
        if segmenter.knows_classes:
            _require_its_classes(segmenter, images)
        elif config.match_on == "train":
            train = open_split(recipe.data, recipe.data.train_split)
            splits = {"match": labeled_part(train), "evaluate": images}

        started = time.monotonic()
        num_images = sum(len(split.files) for split in splits.values())
        with ray_session(address, images=num_images, network_bound=not config.crf, on_gpu=True):
            counts = {
                job: count(
                    run.path,
                    recipe,
                    split,
                    num_clusters=segmenter.num_clusters,
                    temperature=temperature_of(segmenter, tau_of(segmenter.head, own)),
                    job=job,
                    kept=kept,
                )
                for job, split in splits.items()
            }
        seconds = time.monotonic() - started

        scored = counts["evaluate"]
        naming = counts.get("match", scored)
        names = class_names(images, naming.tables, scored.tables)
        method = None if segmenter.knows_classes else config.match
        named = [
            name_and_score(by[:, : len(names)], table[:, : len(names)], names, method)
            for by, table in zip(naming.tables, scored.tables, strict=True)
        ]
        if config.boundary:
            for found, table, near in zip(named, scored.tables, scored.near, strict=True):
                apart = edges_apart(table[:, : len(names)], near[:, : len(names)], found.classes)
                found.scores["boundary"] = {"pixels": config.boundary, **apart}
        plain, *after_crf = named
        result: dict[str, Any] = {"run": str(run.path), **plain.scores}
        for found in after_crf:
            result["crf"] = {**found.scores, "protocol": crf_in_words(config)}
        result |= {
            "num_images": scored.num_images,
            "protocol": protocol_in_words(config),
            "matching": matching_in_words(
                config,
                images.split,
                supervised=segmenter.supervised,
                captions=segmenter.captions,
            ),
            "data": {"name": recipe.data.name, "root": images.root, "split": images.split},
            "trained_on": {"name": own.data.name, "root": own.data.root},
            "zero_shot": _place(recipe.data) != _place(own.data),
            "supervised": segmenter.supervised,
            "labels_leaked": segmenter.labels_leaked,
            "skipped": scored.skipped,
            "seconds": round(seconds, 2),
            "images_per_second": round(scored.images_per_second, 2),
        }
        if naming is not scored:
            result["named_by"] = {"num_images": naming.num_images, "skipped": naming.skipped}
        if segmenter.captions:
            result["captions"] = CAPTIONS
        if not segmenter.knows_classes:
            mapping = Mapping(tuple(int(c) for c in plain.classes), names)
            if segmenter.mapping is None or _is_same(recipe.data, own.data):
                save_mapping(run.path, mapping)
                logger.info("the segmenter names its clusters by the labels of %s", images.root)
            else:
                logger.info("the segmenter keeps the names of clusters that it has")
        if evaluation_file(run, own.data, recipe.data) == run.evaluate_file:
            _note_scores(run, own, result)
        file = evaluation_file(run, own.data, recipe.data)
        write_json(file, {**result, "class_names": names, "clusters": plain.clusters})
        log_evaluation(run.path, result, data=file.stem)
    _tell(result)
    return result


def _note_scores(run: RunFolder, recipe: Recipe, result: dict[str, Any]) -> None:
    """Keep the scores with the segmenter, which may leave the run."""
    finished = run.finished()
    if finished is None:  # a segmenter that was put into a folder by hand
        return
    scores = Evaluated(
        miou=result["miou"],
        accuracy=result["accuracy"],
        num_images=result["num_images"],
        split=result["data"]["split"],
        protocol=result["protocol"],
        matching=result["matching"],
    )
    origin = origin_of(run, recipe, finished)
    save_origin(run.segmenter, dataclasses.replace(origin, evaluated=scores))


def evaluation_file(run: RunFolder, own: Data, data: Data) -> Path:
    """Where scores are kept: evaluate.json for the run's own data, another name for other data."""
    if _is_same(data, own):
        return run.evaluate_file
    root = _place(data)
    code = fingerprint([data.name, root, data.val_split])[:6]
    return run.path / f"evaluate-{data.name}-{name_of(root)}-{code}.json"


def _is_same(data: Data, other: Data) -> bool:
    """Whether both are the same images with the same classes."""
    return (data.name, _place(data)) == (other.name, _place(other))


def temperature_of(segmenter: Segmenter, tau: float | None) -> Temperature:
    """At which outputs are probabilities: τ of eigenfunctions, where their training ended.

    1 of what was trained by cross-entropy; K-means' scores and the like have none.
    """
    scores = isinstance(segmenter.head, LinearHead) and not segmenter.knows_classes
    return tau or ("gap" if scores else 1.0)


def _place(data: Data) -> str:
    return absolute(data.root or "")


def labeled_part(images: ImageSet) -> ImageSet:
    """Those of the images that have a label file. Raises UserError where none has."""
    named = [file for file in images.files if file.label]
    sizes = file_sizes([str(file.label) for file in named])
    kept = tuple(file for file, size in zip(named, sizes, strict=True) if size is not None)
    if not kept:
        raise UserError(
            f"evaluate.match_on is train, but none of the {len(images.files)} training images "
            f"under {images.root} has a label; use --evaluate.match-on val"
        )
    if len(kept) < len(images.files):
        logger.info("match: %d of %d images have a label", len(kept), len(images.files))
    return dataclasses.replace(images, files=kept)


def _require_its_classes(segmenter: Segmenter, images: ImageSet) -> None:
    known = segmenter.mapping.class_names if segmenter.mapping else ()
    if known != images.class_names:
        raise UserError(
            f"this segmenter is of the classes {', '.join(known)}, but {images.root} has "
            f"{', '.join(images.class_names) or 'no names of classes'}"
        )


def _tell(result: dict[str, Any]) -> None:
    for scores, after in ((result, ""), (result.get("crf"), " after the CRF")):
        if scores is not None:
            shares = (100 * scores["miou"], 100 * scores["accuracy"])
            words = "mIoU %.1f %%, accuracy %.1f %%%s on %d images"
            logger.info(words, *shares, after, result["num_images"])
    if result["labels_leaked"]:
        logger.warning("labels leaked: this run saw the labels while it trained")
    if "captions" in result:
        logger.info("%s", result["captions"])
