"""``raynef spectral semantic``: segments that carry the same label in every image.

STORE/semantic.json, STORE/semantic.html
STORE/semantic-METHOD/*.png      label of each pixel: 0 the background, then the clusters
STORE/semantic-METHOD.npz        the centers
"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from raynef.assign.kmeans import find_centroids, nearest_centroids
from raynef.cluster.session import ray_session
from raynef.config.recipe import Recipe, Spectral
from raynef.core.errors import UserError
from raynef.images.decode import read_image
from raynef.images.fitted import to_whole_image
from raynef.images.oriented import read_truth
from raynef.io.holds import holds
from raynef.jobs.spectral.eigen import LATER, EigenStore, Solved, open_solved
from raynef.jobs.spectral.features import WholeFeatures
from raynef.jobs.spectral.labels import LabelFolder, label_folder
from raynef.jobs.spectral.points import Source, draw_points
from raynef.jobs.spectral.segments import NO_BACKGROUND, Segments, SegmentStore, ensure_segments
from raynef.jobs.spectral.walk import publish, shown_of, units_of, walk
from raynef.report.palette import overlay, palette
from raynef.report.spectral_page import Picture, SpectralRow
from raynef.work.sources import output_names
from raynef.work.units import ImageUnit

Method = Literal["spectral", "cluster-seg", "cluster-patch"]
_ITERATIONS, _STARTS = 100, 10
OWN = ("num_eigenvectors", *LATER)
"""Fields that may differ from those of the STORE."""
_BATCH = 8  # images of a unit


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
    out = label_folder(shown, shown.folder / f"semantic-{method}", recipe.spectral.num_clusters + 1)
    with ray_session(address, images=len(fitted_on.images.files)):
        source = _source(fitted_on, recipe, method, seed)
        points = draw_points(
            source, fitted_on.pairs.images(), max_points=recipe.kmeans.max_points, seed=seed
        )
        num_clusters = recipe.spectral.num_clusters + (0 if method == "spectral" else 1)
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
            starts=_STARTS,
        )
        if shown is not fitted_on:
            source = _source(shown, recipe, method, seed)
        label = LabelImages(type(source), source.folder, shown.pairs.folder, centroids, out)
        units = units_of(shown, _BATCH)
        tables = list(walk("semantic", units, prepare=label))
    np.savez(shown.folder / f"semantic-{method}.npz", centroids=centroids)
    criterion = recipe.spectral.hungarian
    result: dict[str, Any] = {
        "store": str(shown.folder),
        "fitted_on": str(fitted_on.folder),
        "method": method,
        "labels": str(out.path),
        "num_images": len(shown.pairs.images()),
        "num_points": len(points),
        "num_clusters": recipe.spectral.num_clusters,
        "hungarian": criterion,
        "seed": seed,
        **out.scores(shown, tables, criterion),
        "seconds": round(time.monotonic() - started, 2),
    }
    return publish(
        shown.folder,
        "semantic",
        result,
        title=f"Segments of {shown.images.name}",
        about="The segments of each image, then what they are in all images: one color for each "
        "cluster, the same everywhere.",
        summary=("num_images", "miou", "accuracy", "miou_majority", "num_clusters", "num_points"),
        rows=_rows(shown, source, out, recipe.spectral.num_clusters),
    )


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


@dataclass(frozen=True)
class LabelImages:
    """Task: the labels of a unit's images as PNGs. Returns their table of counts."""

    kind: type[Source]
    source: Path
    pairs: Path
    centroids: np.ndarray
    out: LabelFolder

    def __call__(self, unit: ImageUnit) -> np.ndarray:
        source, pairs = self.kind(self.source), EigenStore(self.pairs)

        def labels(index: int) -> np.ndarray:
            if isinstance(source, SegmentStore):
                segments = source.read(index)
                return to_whole_image(segment_labels(segments, self.centroids), segments.frame)
            nodes = patch_labels(source.read(index).numpy(), self.centroids)
            return to_whole_image(nodes, pairs.read(index).frame)

        return self.out.write(unit, map(labels, unit.images))


def patch_labels(features: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The cluster of each patch: [h, w, D] -> int64 [h, w]."""
    rows = features.reshape(-1, features.shape[-1])
    return nearest_centroids(rows, centroids).reshape(features.shape[:2])


def segment_labels(segments: Segments, centroids: np.ndarray) -> np.ndarray:
    """The label of each node, int64 [h, w]: 0 the background where there is one, then clusters."""
    labels = nearest_centroids(segments.directions, centroids)
    if segments.background != NO_BACKGROUND:
        labels = labels + 1
        labels[segments.background] = 0
    return labels[segments.index]


def _rows(solved: Solved, source: Source, out: LabelFolder, num_clusters: int) -> list[SpectralRow]:
    names, rows = output_names(solved.images.files), []
    for index in shown_of(solved):
        file = solved.images.files[index]
        image = read_image(file.path)
        pictures = [Picture("image", "the photograph", image)]
        if isinstance(source, SegmentStore):
            segments = source.read(index)
            whole = to_whole_image(segments.index, segments.frame)
            colors = palette(max(2, int(whole.max()) + 1))
            pictures.append(Picture("segments", "of this image", overlay(image, whole, colors)))
        labels = np.asarray(Image.open(out.path / names[index])).astype(np.int64)
        colors = palette(num_clusters + 1)
        pictures.append(Picture("clusters", "of all images", overlay(image, labels, colors)))
        if out.counted:
            truth = read_truth(file, out.codes)
            painted = overlay(image, truth, palette(max(2, out.shape[1])), ignore=255)
            pictures.append(Picture("label", "what a person drew", painted))
        facts = f"{len(np.unique(labels))} clusters"
        rows.append(SpectralRow(file.name, facts, tuple(pictures)))
    return rows
