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
from raynef.cluster.stream import Unit, stream
from raynef.config.recipe import Recipe, Spectral, fingerprint
from raynef.features.precision import computing_in
from raynef.images.fitted import Frame
from raynef.jobs.precision import precision_of
from raynef.jobs.shards import ShardMade, ShardUnit, ShardWork, ensure_shards
from raynef.jobs.spectral.eigen import EigenStore, Solved, units_among
from raynef.jobs.spectral.features import WholeFeatures, WholeImageActor, normalized
from raynef.jobs.spectral.solve import fitted, frame_column, frame_from
from raynef.segment.boxes import box_around, expanded
from raynef.stores.shards import ShardStore, write_rows

Method = Literal["spectral", "cluster-seg"]
_FORMAT = 1
NO_BACKGROUND = -1


@dataclass(frozen=True)
class Segments:
    """The segments of one image.

    Attributes:
        index: segment of each node, int32 [h, w], from 0 to S - 1.
        background: the one that is, or ``NO_BACKGROUND``.
        features: of each segment, float32 [S, D].
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


def ensure_segments(solved: Solved, recipe: Recipe, method: Method, *, seed: int) -> "SegmentStore":
    """The segments of every image of a STORE: found, or made, or finished. Needs a running Ray.

    Args:
        solved: the STORE.
        recipe: whose ``spectral`` section says how segments are made.
        method: ``spectral`` cuts images by their eigenvectors and describes each segment by the
            backbone's pooled feature of the crop around it; ``cluster-seg`` (the paper's baseline)
            cuts by the features themselves and takes their means.
        seed: of the K-means within each image.
    """
    spectral = recipe.spectral
    key: dict[str, Any] = {
        **solved.pairs.key,
        "segment_format": _FORMAT,
        "method": method,
        "seed": seed,
        "num_segments": spectral.num_segments,
    }
    if method == "spectral":
        key |= {
            "used_eigenvectors": spectral.num_eigenvectors,
            "background": spectral.background,
            "expand": spectral.expand,
        }
    folder = solved.pairs.folder.parent / f"segments-{fingerprint(key)}"
    work = {
        "features": str(solved.features),
        "pairs": str(solved.pairs.folder),
        "spectral": spectral,
        "seed": seed,
    }

    def run(units: list[ShardUnit]) -> Iterator[ShardMade]:
        if method == "cluster-seg":
            return stream(units, prepare=partial(cut_by_features, **work), finish=write_segments)
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
            finish=write_segments,
            bounded=True,
        )

    units = units_among(solved.images, set(solved.pairs.images()), folder)
    ensure_shards(folder, key, ShardWork("segments", recipe.data, solved.images, units, run))
    return SegmentStore(folder)


def cut_by_vectors(
    unit: ShardUnit, *, features: str, pairs: str, spectral: Spectral, seed: int, stride: int
) -> Unit:
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
        found[index] = (segments, background, crops, image.frame)
    return {**vars(unit), "found": found}


def crop_around(mask: np.ndarray, pixels: np.ndarray, *, expand: int, stride: int) -> np.ndarray:
    """The part of an image around a segment, whole patches, grown by so many of them.

    Args:
        mask: of the segment, bool [h, w], not empty.
        pixels: of the fitted image, uint8 [H', W', 3].
        expand: patches to each side.
        stride: pixels of a patch's side.
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


class CropActor(WholeImageActor):
    """Actor: turns the crops of a unit's images into the backbone's pooled features."""

    def __call__(self, unit: Unit) -> Unit:
        """Replaces the crops by features, half [S, D]."""
        for index, (segments, background, crops, frame) in unit["found"].items():
            by_shape: dict[tuple[int, ...], list[int]] = {}
            for number, crop in enumerate(crops):
                by_shape.setdefault(crop.shape, []).append(number)
            features: dict[int, np.ndarray] = {}
            for numbers in by_shape.values():
                batch = np.stack([crops[number] for number in numbers])
                features.update(zip(numbers, self.pooled(batch), strict=True))
            stacked = np.stack([features[number] for number in range(len(crops))])
            unit["found"][index] = (segments, background, stacked, frame)
        return unit

    def pooled(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [B, H, W, 3] -> half [B, D]."""
        with computing_in(self.precision, self.device):
            return self.backbone.pooled(normalized(self.backbone, pixels)).half().cpu().numpy()


def cut_by_features(
    unit: ShardUnit, *, features: str, pairs: str, spectral: Spectral, seed: int
) -> Unit:
    """Task: the segments of a unit's images by their features, with the means of these."""
    patches, store = WholeFeatures(features), EigenStore(pairs)
    found = {}
    for index in unit.images:
        values = patches.read(index).numpy()
        segments = cluster_nodes(values, spectral.num_segments, seed=seed)
        means = [values[segments == s].mean(axis=0) for s in range(int(segments.max()) + 1)]
        found[index] = (
            segments,
            NO_BACKGROUND,
            np.stack(means).astype(np.float16),
            store.read(index).frame,
        )
    return {**vars(unit), "found": found}


def write_segments(unit: Unit) -> ShardMade:
    """Task: write the shard of a unit."""
    images = [unit["found"][index] for index in unit["images"]]
    columns = {
        "frame": frame_column([frame for *_, frame in images]),
        "grid": pa.array([list(segments.shape) for segments, *_ in images], pa.list_(pa.int32())),
        "segments": pa.array([s.astype(np.int32).tobytes() for s, *_ in images], pa.large_binary()),
        "background": pa.array([background for _, background, *_ in images], pa.int32()),
        "features": pa.array([f.tobytes() for *_, f, _ in images], pa.large_binary()),
    }
    shard = write_rows(
        Path(unit["folder"]), file=unit["file"], view=0, images=unit["images"], columns=columns
    )
    return ShardMade(shard, {}, len(unit["images"]))


class SegmentStore(ShardStore):
    """A finished store of segments."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, made_by="raynef spectral semantic")

    def read(self, image: int) -> Segments:
        """The segments of one image. Raises UserError naming a damaged file."""
        columns = self.row(image, ["frame", "grid", "segments", "background", "features"])
        grid = columns["grid"][0].as_py()
        index = np.frombuffer(columns["segments"][0].as_buffer(), dtype=np.int32).reshape(grid)
        features = np.frombuffer(columns["features"][0].as_buffer(), dtype=np.float16)
        return Segments(
            index=index,
            background=columns["background"][0].as_py(),
            features=features.astype(np.float32).reshape(int(index.max()) + 1, -1),
            frame=frame_from(columns["frame"]),
        )
