"""Gathers what a run left in its folder, and writes its report."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raynef.cluster.devices import device_here
from raynef.config.recipe import Evaluate
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageFile, LabelCodes
from raynef.images.datasets.registry import open_split
from raynef.images.geometry import center_crop, resize, resize_label, short_side_size
from raynef.images.oriented import AmbiguousLabelError, read_truth
from raynef.io.files import read_json, write_text
from raynef.io.holds import holds
from raynef.io.storage import is_file
from raynef.jobs.report_commands import commands_of
from raynef.jobs.results import told_by_captions
from raynef.models.folder import Mapping as ClassMapping
from raynef.models.segmenter import Segmenter
from raynef.report.page import render
from raynef.report.records import ClusterCard, Evaluation, GalleryItem, Report, SkippedFile
from raynef.segment.patch_map import PatchMap, cluster_maps
from raynef.stores.run import RunFolder
from raynef.work.segmenting import seen_maps
from raynef.work.units import readable

logger = logging.getLogger("raynef")

_GALLERY_ROWS = 30
_CARD_IMAGES = 48  # images that are searched for the patches that define a cluster
_CARDS = 24
_PATCHES_PER_CARD = 9
_CUT_OUT = 3  # a cut-out is so many patches wide


@holds("path")
def write_report(path: str | Path, *, images: bool = True) -> dict[str, Any]:
    """Write the page of a run; the result of ``raynef report``.

    Args:
        path: of the run.
        images: show some of the data set, in RUN/report.html; without, in
            RUN/report-no-images.html, which may go where the images may not.

    Raises:
        UserError: no run, or one whose training is not finished.
    """
    run = RunFolder(Path(path).absolute())
    record, finished = run.record(), run.finished()
    if finished is None:
        raise UserError(
            f"{run.path} is not finished; the same raynef train command goes on with it"
        )
    recipe = run.recipe()
    segmenter = Segmenter.load(run.path, device=device_here())
    evaluation = read_json(run.evaluate_file) if run.evaluate_file.is_file() else None
    split = recipe.data.val_split if evaluation else recipe.data.train_split
    shown = open_split(recipe.data, split)
    files = spread(shown.files, _CARD_IMAGES) if images else []
    read = read_images(files, shown.label_codes, recipe.evaluate)
    names = cluster_names(segmenter)
    maps = seen_by(segmenter, [image for _, image, _ in read])
    # Labels are compared with the classes that they gave; without any, a person's names are shown.
    is_labeled = any(label is not None for *_, label in read)
    classes = segmenter.mapping if is_labeled else segmenter.classes
    steps = []
    if run.steps_file.is_file():  # K-means has no steps
        with run.steps_file.open(encoding="utf-8") as lines:
            steps = [json.loads(line) for line in lines]
    page = render(
        Report(
            title=run.path.name,
            summary=_summary(finished, evaluation, segmenter),
            recipe=record.recipe,
            environment=record.environment,
            steps=steps,
            evaluation=Evaluation.from_json(evaluation) if evaluation else None,
            gallery=gallery_items(
                spread(read, _GALLERY_ROWS), spread(maps, _GALLERY_ROWS), classes
            ),
            clusters=_cards(segmenter, [image for _, image, _ in read], maps, evaluation, names),
            skipped=[SkippedFile(name, why) for name, why in finished["skipped"].items()],
            elsewhere=[
                Evaluation.from_json(read_json(file))
                for file in sorted(run.path.glob("evaluate-*.json"))
            ],
            labels_leaked=bool(finished.get("labels_leaked")),
            captions=told_by_captions(segmenter).get("captions"),
            tree=segmenter.tree,
            cluster_names=names,
            class_names=dict(enumerate(classes.class_names if classes else shown.class_names)),
            commands=commands_of(
                run, record, shown.files, is_named=bool(names), supervised=segmenter.supervised
            ),
        )
    )
    file = run.report_file if images else run.plain_report_file
    write_text(file, page)
    logger.info("report: %s", file)
    return {"run": str(run.path), "report": str(file)}


def cluster_names(segmenter: Segmenter) -> dict[int, str]:
    """What each cluster is called: by a person, else by texts, which is said, else by labels."""
    mapping, names = segmenter.mapping, segmenter.names
    told = names.sources
    known = {k: f"{name} (by text)" if k in told else name for k, name in names.names.items()}
    by_labels = mapping.classes if mapping else ()
    found = {k: mapping.class_names[c] for k, c in enumerate(by_labels) if mapping and c >= 0}
    return {**found, **known}


def _summary(
    finished: dict[str, Any], evaluation: dict[str, Any] | None, segmenter: Segmenter
) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    if evaluation is not None:
        summary = {name: evaluation[name] for name in ("miou", "accuracy")}
        if evaluation.get("crf"):
            summary["crf_miou"] = evaluation["crf"]["miou"]
    summary |= {"num_images": finished["num_images"], "num_clusters": segmenter.num_clusters}
    # A baseline has a part of these.
    parts = {name: finished.get(name) for name in ("epochs", "images_per_second")}
    return summary | {name: value for name, value in parts.items() if value is not None}


def spread(items: Any, count: int) -> list:
    """At most ``count`` items, evenly from the whole sequence."""
    if not len(items):
        return []
    picks = np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))
    return [items[pick] for pick in picks]


def read_images(
    files: list[ImageFile], codes: LabelCodes, config: Evaluate
) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    """(name, image, label or None) as the backbone sees it; unreadable files are left out."""
    read = []
    for _, file, image in readable(files, {}):
        reco = config.protocol == "reco"
        size = short_side_size(image.shape, config.short_side, truncated=reco)
        crop = config.crop if reco else max(size)
        labeled = file.label and is_file(file.label)
        label = _label(file, codes, size, crop) if labeled else None
        read.append((file.name, center_crop(resize(image, size), crop), label))
    return read


def _label(
    file: ImageFile, codes: LabelCodes, size: tuple[int, int], crop: int
) -> np.ndarray | None:
    """The label as the image is shown; None where nothing tells how it lies: it is not scored."""
    try:
        return center_crop(resize_label(read_truth(file, codes), size), crop)
    except AmbiguousLabelError as error:
        logger.warning("report, without this label: %s", error)
        return None


def seen_by(segmenter: Segmenter, images: Sequence[np.ndarray]) -> list[PatchMap]:
    """What a segmenter says of images of ``read_images``."""
    at_once = segmenter.backbone_config.batch_size
    found = dict(seen_maps(segmenter, dict(enumerate(images)), at_once=at_once))
    return [found[index] for index in range(len(images))]


def gallery_items(
    images: Sequence[tuple[str, np.ndarray, np.ndarray | None]],
    maps: Sequence[PatchMap],
    mapping: ClassMapping | None,
) -> list[GalleryItem]:
    """Images of ``read_images`` with what ``seen_by`` found in them, in a mapping's classes."""
    items = []
    for (name, image, label), found in zip(images, maps, strict=True):
        clusters = cluster_maps([found], (image.shape[0], image.shape[1]))[0].astype(np.int64)
        classes = np.asarray(mapping.classes)[clusters] if mapping else None
        items.append(GalleryItem(name, image, clusters, classes, label))
    return items


def _cards(
    segmenter: Segmenter,
    images: Sequence[np.ndarray],
    maps: Sequence[PatchMap],
    evaluation: dict[str, Any] | None,
    names: Mapping[int, str],
) -> list[ClusterCard]:
    """The largest clusters with the patches that they are surest of, at most two an image."""
    crops: list[np.ndarray] = []  # the windows of all images
    sure: list[np.ndarray] = []  # per patch: probability of its cluster
    held: list[np.ndarray] = []  # … and the cluster
    where: list[tuple[int, ...]] = []  # … and window, row and column
    for image, found in zip(images, maps, strict=True):
        best = torch.softmax(found.windows.split(found.logits), dim=-1).max(dim=-1)
        sure.append(best.values.flatten().cpu().numpy())
        held.append(best.indices.flatten().cpu().numpy())
        where += [(len(crops) + n, *place) for n, *place in np.ndindex(*best.indices.shape)]
        crops += list(found.windows.cut(image))
    if not held:
        return []
    clusters, certainty = np.concatenate(held), np.concatenate(sure)
    sizes = np.bincount(clusters, minlength=segmenter.num_clusters)
    named = {entry["cluster"]: entry for entry in evaluation["clusters"]} if evaluation else {}
    cards = []
    for cluster in np.argsort(-sizes, kind="stable")[:_CARDS]:
        members = np.flatnonzero(clusters == cluster)
        if not len(members):
            break
        members = members[np.argsort(-certainty[members], kind="stable")]
        entry = named.get(int(cluster))
        cards.append(
            ClusterCard(
                cluster=int(cluster),
                share=float(sizes[cluster] / len(clusters)),
                class_name=names.get(int(cluster)),
                purity=entry["purity"] if entry else None,
                patches=_cut_outs(members, where, crops, segmenter),
            )
        )
    return cards


def _cut_outs(
    members: np.ndarray,
    where: list[tuple[int, ...]],
    images: list[np.ndarray],
    segmenter: Segmenter,
) -> tuple[np.ndarray, ...]:
    taken: Counter[int] = Counter()
    cut: list[np.ndarray] = []
    for index, row, column in (where[member] for member in members):
        image = images[index]
        down, across = segmenter.cell(image.shape[:2])
        side = round(_CUT_OUT * max(down, across))
        if taken[index] >= 2 or min(image.shape[:2]) < side:
            continue
        taken[index] += 1
        top = int(np.clip((row + 0.5) * down - side / 2, 0, image.shape[0] - side))
        left = int(np.clip((column + 0.5) * across - side / 2, 0, image.shape[1] - side))
        cut.append(image[top : top + side, left : left + side])
        if len(cut) == _PATCHES_PER_CARD:
            break
    return tuple(cut)
