"""``raynef spectral semantic``: segments that carry the same label in every image.

STORE/semantic.json, STORE/semantic.html
STORE/semantic-METHOD/*.png      label of each pixel: 0 the background, then the clusters
STORE/semantic-METHOD.npz        the centers
"""

import dataclasses
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from raynef.assign.contingency import contingency
from raynef.assign.kmeans import find_centroids, nearest_centroids
from raynef.assign.matching import Criterion
from raynef.cluster.progress import Progress
from raynef.cluster.session import ray_session
from raynef.cluster.stream import Unit, stream
from raynef.config.recipe import Recipe, Spectral
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageFile, require_labels
from raynef.images.decode import read_image
from raynef.images.fitted import Frame, to_whole_image
from raynef.images.oriented import read_truth
from raynef.io.files import write_json, write_text
from raynef.io.holds import holds
from raynef.jobs.predict import output_names
from raynef.jobs.report import spread
from raynef.jobs.results import class_names, name_and_score
from raynef.jobs.spectral.eigen import LATER, EigenStore, Solved, open_solved, units_among
from raynef.jobs.spectral.features import WholeFeatures
from raynef.jobs.spectral.points import Source, draw_points
from raynef.jobs.spectral.segments import NO_BACKGROUND, SegmentStore, ensure_segments
from raynef.report.palette import overlay, palette
from raynef.report.spectral_page import Picture, SpectralRow, render_spectral
from raynef.stores.label_files import write_labels

Method = Literal["spectral", "cluster-seg", "cluster-patch"]
_ITERATIONS, _STARTS = 100, 10
OWN = ("num_eigenvectors", *LATER)
"""Fields that may differ from those of the STORE."""
_CLASSES = 256  # counted where a data set names none
_SHOWN = 12  # images of the gallery


@holds("store", "on")
def semantic(
    store: str | Path,
    recipe: Recipe,
    *,
    method: Method = "spectral",
    on: str | Path | None = None,
    seed: int = 0,
    address: str | None = None,
) -> dict[str, Any]:
    """Label every image of a STORE without labels, and score it where there are some.

    Segments (or, for ``cluster-patch``, patches) of all images, at most ``kmeans.max_points`` of
    them, are clustered by K-means (arXiv:2205.07839, Sec. 3.5 and the baselines of Table 4).

    Args:
        store: of ``raynef spectral eigen``, whose images are clustered.
        recipe: whose ``spectral`` section says how; that of the STORE with other numbers.
        method: ``spectral``, or one of the paper's baselines ``cluster-seg``, ``cluster-patch``.
        on: another STORE, whose images are labeled by the centers found, in place of its own.
        seed: of both K-means.
        address: of a Ray cluster.

    Returns:
        mIoU and accuracy with clusters matched to classes one to one (Hungarian) and by majority;
        None where there are no labels.

    Raises:
        UserError: no such store, too few segments, or a label that cannot be read.
    """
    started = time.monotonic()
    fitted_on = open_solved(store)
    shown = fitted_on if on is None else open_solved(on)
    _require_settings(fitted_on.recipe.spectral, recipe.spectral, store)
    if recipe.spectral.num_eigenvectors > fitted_on.recipe.spectral.num_eigenvectors:
        raise UserError(
            f"spectral.num_eigenvectors is {recipe.spectral.num_eigenvectors}, but {store} has "
            f"{fitted_on.recipe.spectral.num_eigenvectors} of each image"
        )
    _require_like(fitted_on, shown)
    labeled = all(file.label for file in shown.images.files)
    if labeled:
        require_labels(shown.images)
    with ray_session(address):
        source = _source(fitted_on, recipe, method, seed)
        points = draw_points(
            source, fitted_on.pairs.images(), max_points=recipe.kmeans.max_points, seed=seed
        )
        background = method == "spectral"
        num_clusters = recipe.spectral.num_clusters + (0 if background else 1)
        if len(points) < num_clusters:
            raise UserError(
                f"{len(points)} segments cannot make {num_clusters} clusters; lower "
                "spectral.num_clusters or raise spectral.num_segments"
            )
        centroids = find_centroids(
            points,
            num_clusters,
            iterations=_ITERATIONS,
            seed=seed,
            threads=torch.get_num_threads(),
            starts=_STARTS,
        )
        if shown is not fitted_on:
            source = _source(shown, recipe, method, seed)
        out = shown.folder / f"semantic-{method}"
        table = _label(shown, source, centroids, recipe, out=out, labeled=labeled)
    np.savez(shown.folder / f"semantic-{method}.npz", centroids=centroids)
    result: dict[str, Any] = {
        "store": str(shown.folder),
        "fitted_on": str(fitted_on.folder),
        "method": method,
        "labels": str(out),
        "num_images": len(shown.pairs.images()),
        "num_points": len(points),
        "num_clusters": recipe.spectral.num_clusters,
        "hungarian": recipe.spectral.hungarian,
        "seed": seed,
        **(scores_of(shown, table, recipe.spectral.hungarian) if labeled else {"miou": None}),
        "seconds": round(time.monotonic() - started, 2),
    }
    write_json(shown.folder / "semantic.json", result)
    page = shown.folder / "semantic.html"
    write_text(page, _page(shown, source, out, result, labeled=labeled))
    return {**result, "report": str(page)}


def _require_settings(made: Spectral, asked: Spectral, store: str | Path) -> None:
    """Raise UserError where a field is asked for that the eigenpairs were made with otherwise."""
    for field in dataclasses.fields(Spectral):
        there, wanted = getattr(made, field.name), getattr(asked, field.name)
        if field.name not in OWN and there != wanted:
            raise UserError(
                f"spectral.{field.name} is {there!r} in {store} and cannot be {wanted!r} for its "
                "segments; make another store with raynef spectral eigen"
            )


def _require_like(one: Solved, other: Solved) -> None:
    """Raise UserError unless two STOREs were made alike, but for their images."""
    for name in one.pairs.key | other.pairs.key:
        value, there = one.pairs.key.get(name), other.pairs.key.get(name)
        if name not in ("files", "num_images") and there != value:
            raise UserError(
                f"{other.folder} was made with {name} {there!r}, {one.folder} with {value!r}; "
                "centers of one do not fit the other"
            )


def _source(solved: Solved, recipe: Recipe, method: Method, seed: int) -> Source:
    if method == "cluster-patch":
        return WholeFeatures(solved.features)
    return ensure_segments(solved, recipe, method, seed=seed)


def _label(
    solved: Solved,
    source: Source,
    centroids: np.ndarray,
    recipe: Recipe,
    *,
    out: Path,
    labeled: bool,
) -> np.ndarray:
    """Write the labels of every image, and count them against people's: int64 [K + 1, C]."""
    names = output_names(solved.images.files)
    units = [
        {**vars(unit), "names": [names[index] for index in unit.images]}
        for unit in units_among(solved.images, set(solved.pairs.images()), out)
    ]
    table = table_for(solved, recipe.spectral.num_clusters + 1)
    prepare = partial(
        label_unit,
        source=str(source.folder),
        patches=isinstance(source, WholeFeatures),
        pairs=str(solved.pairs.folder),
        centroids=centroids,
        codes=solved.images.label_codes,
        shape=table.shape,
        labeled=labeled,
        out=str(out),
    )
    progress = Progress("semantic", len(solved.pairs.images()), "images")
    for count, part in stream(units, prepare=prepare):
        table += part
        progress.advance(count)
    progress.close()
    return table


def label_unit(
    unit: Unit,
    *,
    source: str,
    patches: bool,
    pairs: str,
    centroids: np.ndarray,
    codes: Any,
    shape: tuple[int, int],
    labeled: bool,
    out: str,
) -> tuple[int, np.ndarray]:
    """Task: the labels of a unit's images as PNGs. Returns images and the table of counts."""
    table = np.zeros(shape, dtype=np.int64)
    for index, file, name in zip(unit["images"], unit["files"], unit["names"], strict=True):
        if patches:
            nodes = patch_labels(WholeFeatures(source).read(index).numpy(), centroids)
            frame = EigenStore(pairs).read(index).frame
        else:
            nodes, frame = segment_labels(SegmentStore(source), index, centroids)
        labels = to_whole_image(nodes, frame)
        write_labels(Path(out) / name, labels)
        if labeled:
            table += count_pixels(labels, file, codes, shape)
    return len(unit["images"]), table


def patch_labels(features: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The cluster of each patch: [h, w, D] -> int64 [h, w]."""
    rows = features.reshape(-1, features.shape[-1])
    return nearest_centroids(rows, centroids).reshape(features.shape[:2])


def segment_labels(
    store: SegmentStore, index: int, centroids: np.ndarray
) -> tuple[np.ndarray, Frame]:
    """The label of each node, int64 [h, w]: 0 the background where there is one, then clusters."""
    segments = store.read(index)
    labels = nearest_centroids(segments.directions, centroids)
    if segments.background != NO_BACKGROUND:
        labels = labels + 1
        labels[segments.background] = 0
    return labels[segments.index], segments.frame


def count_pixels(
    labels: np.ndarray, file: ImageFile, codes: Any, shape: tuple[int, int]
) -> np.ndarray:
    """Pixels of label against class of one image, int64 [L, C].

    Raises:
        UserError: people's label is of another size, or holds what is no class.
    """
    truth = read_truth(file, codes)
    if truth.shape != labels.shape:
        raise UserError(
            f"the label of {file.name} is {truth.shape[1]}x{truth.shape[0]} pixels, but its image "
            f"is {labels.shape[1]}x{labels.shape[0]}"
        )
    return contingency(labels, truth, num_clusters=shape[0], num_classes=shape[1], name=file.name)


def table_for(solved: Solved, num_labels: int) -> np.ndarray:
    """An empty table of label against class, int64 [L, C]."""
    return np.zeros((num_labels, len(solved.images.class_names) or _CLASSES), dtype=np.int64)


def scores_of(solved: Solved, table: np.ndarray, criterion: Criterion) -> dict[str, Any]:
    """mIoU and accuracy with labels matched one to one, and by majority: table [L, C].

    The matching of paper and code (arXiv:2205.07839) maximizes IoU: ``criterion``.
    """
    names = class_names(solved.images, table[None])
    table = table[:, : len(names)]
    hungarian = name_and_score(table, table, names, "hungarian", criterion=criterion).scores
    majority = name_and_score(table, table, names, "iou").scores
    return {
        "miou": hungarian["miou"],
        "accuracy": hungarian["accuracy"],
        "miou_majority": majority["miou"],
        "accuracy_majority": majority["accuracy"],
        "per_class_iou": hungarian["per_class_iou"],
    }


def _page(
    solved: Solved, source: Source, out: Path, result: dict[str, Any], *, labeled: bool
) -> str:
    shown = ("num_images", "miou", "accuracy", "miou_majority", "num_clusters", "num_points")
    names = output_names(solved.images.files)
    rows = [
        _row(solved, source, index, out / names[index], result, labeled=labeled)
        for index in spread(solved.pairs.images(), _SHOWN)
    ]
    return render_spectral(
        "raynef spectral semantic",
        f"Segments of {solved.images.name}",
        about="The segments of each image, then what they are in all images: one color for each "
        "cluster, the same everywhere.",
        summary={name: result[name] for name in shown if result.get(name) is not None},
        rows=rows,
        command="raynef spectral semantic",
    )


def _row(
    solved: Solved,
    source: Source,
    index: int,
    path: Path,
    result: dict[str, Any],
    *,
    labeled: bool,
) -> SpectralRow:
    file = solved.images.files[index]
    image = read_image(file.path)
    pictures = [Picture("image", "the photograph", image)]
    if isinstance(source, SegmentStore):
        segments = source.read(index)
        whole = to_whole_image(segments.index, segments.frame)
        colors = palette(max(2, int(whole.max()) + 1))
        pictures.append(Picture("segments", "of this image", overlay(image, whole, colors)))
    labels = np.asarray(Image.open(path)).astype(np.int64)
    colors = palette(result["num_clusters"] + 1)
    pictures.append(Picture("clusters", "of all images", overlay(image, labels, colors)))
    if labeled:
        truth = read_truth(file, solved.images.label_codes)
        colors = palette(max(2, len(solved.images.class_names) or _CLASSES))
        painted = overlay(image, truth, colors, ignore=255)
        pictures.append(Picture("label", "what a person drew", painted))
    return SpectralRow(file.name, f"{len(np.unique(labels))} clusters", tuple(pictures))
