"""Segments of every image, each with a feature: the first two steps to semantic segments.

STORE/segments-KEY/manifest.json, shard-*.parquet     one row an image; beside shared eigenpairs
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from raynef.assign.kmeans import unit_length
from raynef.assign.segments import background_segment, cluster_nodes
from raynef.cluster.session import feature_actors
from raynef.cluster.stream import stream
from raynef.config.fields import in_key
from raynef.config.recipe import Recipe, Spectral, fingerprint
from raynef.features.precision import computing_in
from raynef.images.fitted import Frame
from raynef.jobs.shards import ShardMade, ShardUnit, ShardWork, ensure_shards
from raynef.jobs.spectral.eigen import EigenStore, Solved
from raynef.jobs.spectral.features import (
    BackboneActor,
    WholeFeatures,
    image_units,
    normalized,
    of_one_size,
)
from raynef.jobs.spectral.rows import (
    Carried,
    frame_from,
    frames,
    from_raw,
    integers,
    raw,
    write_values,
)
from raynef.jobs.spectral.solve import fitted
from raynef.segment.boxes import box_around, expanded
from raynef.stores.precision import precision_of
from raynef.stores.shards import ShardStore

Method = Literal["spectral", "cluster-seg"]
_FORMAT = 1
NO_BACKGROUND = -1


@dataclass(frozen=True)
class Segments:
    """The segments of one image.

    Attributes:
        index: segment of each node, int32 [h, w], from 0 to S - 1.
        background: the one that is, or ``NO_BACKGROUND``.
        features: of each segment, float [S, D].
        frame: how the image was fitted.
    """

    index: np.ndarray
    background: int
    features: np.ndarray
    frame: Frame

    @property
    def directions(self) -> np.ndarray:
        """The features at unit length, float32 [S, D]: what is clustered over all images, and what
        the centers are compared with. So the published code; the paper says nothing of it.
        """
        return unit_length(self.features)


@dataclass(frozen=True)
class Cut:
    """An image cut into segments, which have no features yet: ``crops`` around them, uint8
    [H, W, 3] each; the rest as of ``Segments``.
    """

    index: np.ndarray
    background: int
    crops: list[np.ndarray]
    frame: Frame


def ensure_segments(solved: Solved, recipe: Recipe, method: Method, *, seed: int) -> "SegmentStore":
    """The segments of every image of a STORE: found, or made, or finished. Needs a running Ray.

    ``spectral`` cuts images by their eigenvectors and describes each segment by the backbone's
    pooled feature of the crop around it; ``cluster-seg`` (the paper's baseline) cuts by the
    features themselves and takes their means. The seed is of the K-means within each image.
    """
    spectral = recipe.spectral
    key = segments_key(solved.pairs.key, spectral, method, seed=seed)
    folder = solved.pairs.folder.parent / f"segments-{fingerprint(key)}"
    work = {"pairs": str(solved.pairs.folder), "spectral": spectral, "seed": seed}

    def run(units: list[ShardUnit]) -> Iterator[ShardMade]:
        write = partial(write_values, columns=segment_columns)
        if method == "cluster-seg":
            by_features = partial(cut_by_features, features=str(solved.features), **work)
            return stream(units, prepare=by_features, finish=write)
        return stream(
            units,
            prepare=partial(cut_by_vectors, stride=solved.stride, **work),
            actor=CropActor,
            actor_kwargs={
                "config": recipe.backbone,
                "spectral": solved.recipe.spectral,
                "precision": precision_of(key),
            },
            actors=feature_actors(),
            finish=write,
            bounded=True,
        )

    units = image_units(solved.images, folder, set(solved.pairs.images()))
    ensure_shards(folder, key, ShardWork("segments", recipe.data, solved.images, units, run))
    return SegmentStore(folder)


def cut_by_vectors(
    unit: ShardUnit, *, pairs: str, spectral: Spectral, seed: int, stride: int
) -> Carried[ShardUnit, Cut]:
    """Task: the segments of a unit's images by their eigenvectors, and the crops around them."""
    store = EigenStore(pairs)
    found = {}
    for index, file in zip(unit.images, unit.files, strict=True):
        image = store.read(index)
        used = image.vectors[..., 1 : 1 + spectral.num_eigenvectors]
        if not used.shape[-1]:  # one node
            used = image.vectors
        segments = cluster_nodes(used, spectral.num_segments, seed=seed)
        pixels, _ = fitted(file, stride=stride, spectral=spectral)
        crops = [
            crop_around(segments == s, pixels, expand=spectral.expand, stride=stride)
            for s in range(int(segments.max()) + 1)
        ]
        background = background_segment(segments, spectral.background)
        found[index] = Cut(segments, background, crops, image.frame)
    return Carried(unit, found)


def crop_around(mask: np.ndarray, pixels: np.ndarray, *, expand: int, stride: int) -> np.ndarray:
    """The part of an image around a segment, whole patches, grown by so many of them.

    ``mask`` is of the segment, bool [h, w], not empty; ``pixels`` of the fitted image, uint8
    [H', W', 3]; a patch has ``stride`` pixels to a side, and ``expand`` is in patches.
    """
    patches = (pixels.shape[0] // stride, pixels.shape[1] // stride)
    down, across = patches[0] / mask.shape[0], patches[1] / mask.shape[1]
    x0, y0, x1, y1 = box_around(mask)
    box = expanded(
        (np.floor(x0 * across), np.floor(y0 * down), np.ceil(x1 * across), np.ceil(y1 * down)),
        expand,
        patches,
    )
    left, top, right, bottom = (int(side) * stride for side in box)
    return pixels[top:bottom, left:right]


class CropActor(BackboneActor):
    """Actor: turns the crops of a unit's images into the backbone's pooled features."""

    def __call__(self, cut: Carried[ShardUnit, Cut]) -> Carried[ShardUnit, Segments]:
        """Crops to features, half [S, D]."""
        found = {}
        for index, image in cut.values.items():
            features: dict[int, np.ndarray] = {}
            for numbers, crops in of_one_size(dict(enumerate(image.crops))):
                features.update(zip(numbers, self.pooled(crops), strict=True))
            stacked = np.stack([features[number] for number in range(len(image.crops))])
            found[index] = Segments(image.index, image.background, stacked, image.frame)
        return Carried(cut.unit, found)

    def pooled(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [B, H, W, 3] -> half [B, D]."""
        with computing_in(self.precision, self.device):
            return self.backbone.pooled(normalized(self.backbone, pixels)).half().cpu().numpy()


def cut_by_features(
    unit: ShardUnit, *, features: str, pairs: str, spectral: Spectral, seed: int
) -> Carried[ShardUnit, Segments]:
    """Task: the segments of a unit's images by their features, with the means of these."""
    patches, store = WholeFeatures(features), EigenStore(pairs)
    found = {}
    for index in unit.images:
        values = patches.read(index).numpy()
        segments = cluster_nodes(values, spectral.num_segments, seed=seed)
        means = [values[segments == s].mean(axis=0) for s in range(int(segments.max()) + 1)]
        halves = np.stack(means).astype(np.float16)
        found[index] = Segments(segments, NO_BACKGROUND, halves, store.read(index).frame)
    return Carried(unit, found)


def segment_columns(found: list[Segments]) -> dict[str, pa.Array]:
    """Columns of a shard, from segments with features in half."""
    return {
        "frame": frames(item.frame for item in found),
        "grid": integers(item.index.shape for item in found),
        "segments": raw(item.index.astype(np.int32) for item in found),
        "background": pa.array([item.background for item in found], pa.int32()),
        "features": raw(item.features for item in found),
    }


def segments_key(
    pairs: dict[str, Any], spectral: Spectral, method: Method, *, seed: int
) -> dict[str, Any]:
    """What segments depend on: the key of the eigenpairs, and what is made of these."""
    made = {"segment_format": _FORMAT, "method": method, "seed": seed}
    key = {**pairs, **made, **in_key(spectral, "segments")}
    if method == "spectral":
        key |= {"used_eigenvectors": spectral.num_eigenvectors, **in_key(spectral, "cuts")}
    return key


class SegmentStore(ShardStore):
    """A finished store of segments."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, made_by="raynef spectral semantic")

    def read(self, image: int) -> Segments:
        """The segments of one image. Raises UserError naming a damaged file."""
        columns = self.row(image, ["frame", "grid", "segments", "background", "features"])
        index = from_raw(columns["segments"], np.int32, columns["grid"][0].as_py())
        features = from_raw(columns["features"], np.float16, (int(index.max()) + 1, -1))
        return Segments(
            index=index,
            background=columns["background"][0].as_py(),
            features=features.astype(np.float32),
            frame=frame_from(columns["frame"]),
        )

    def num_points(self, image: int) -> int:
        """Segments of one image but for the background."""
        return len(self.points(image))

    def points(self, image: int) -> np.ndarray:
        """What is clustered over all images: directions of all segments but the background."""
        segments = self.read(image)
        return segments.directions[np.arange(len(segments.features)) != segments.background]
