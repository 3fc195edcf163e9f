"""How crops of clusters are made: images are segmented, segments chosen, and drawn."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from raynef.cluster.place import this_process
from raynef.cluster.session import feature_actors
from raynef.cluster.stream import stream
from raynef.core.draws import generator
from raynef.core.errors import BadImageError, UserError
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import read_image
from raynef.io.files import write_atomic
from raynef.models.folder import read_num_clusters
from raynef.models.segmenter import Segmenter
from raynef.report.outline import outlined
from raynef.segment.examples import Examples, Segments, choose, segments_of
from raynef.segment.patch_map import cluster_maps
from raynef.stores.crops import KINDS, CropFolder, CropIndex
from raynef.work.units import (
    Carried,
    ImageUnit,
    describe_skipped,
    image_units,
    read_images,
    watched,
)

logger = logging.getLogger("raynef")

SIDE = 192
"""Of a crop, in pixels."""

_BATCH = 4  # images of a unit
_QUALITY = 82  # of JPEG


@dataclass(frozen=True)
class Looked:
    """What was found in the images of a unit: their maps, uint16 [H, W], and segments."""

    found: dict[int, tuple[np.ndarray, Segments]]
    skipped: dict[str, str]

    @property
    def num_images(self) -> int:
        return len(self.found) + len(self.skipped)


class LookActor:
    """Actor: a segmenter; where the clusters of images lie, and how sure it is of them."""

    def __init__(self, segmenter: str, device: str) -> None:
        self.segmenter = Segmenter.load(segmenter, device=device)

    def __call__(self, read: Carried[ImageUnit, np.ndarray]) -> Looked:
        found = {index: self._look(image, index) for index, image in read.values.items()}
        return Looked(found, read.skipped)

    def _look(self, image: np.ndarray, index: int) -> tuple[np.ndarray, Segments]:
        small = self.segmenter.seen(image)
        size = (small.shape[0], small.shape[1])
        (found,) = self.segmenter.patch_maps(small[None])
        (clusters,) = cluster_maps([found], size)
        best = found.logits.topk(min(2, self.segmenter.num_clusters), dim=-1).values
        rows, columns = found.matrices(size)
        margins = rows @ (best[..., 0] - best[..., -1]).cpu() @ columns.T
        return clusters, segments_of(clusters, margins.numpy(), image=index)


def make_crops(
    folder: CropFolder, segmenter: Path, identity: str, files: tuple[ImageFile, ...]
) -> CropIndex:
    """Make the crops of a segmenter's clusters of images; what a killed call kept is used.

    Args:
        folder: where they go, which is held.
        segmenter: its folder.
        identity: what tells it from others.
        files: the images.

    Raises:
        UserError: not one image that can be read.
    """
    skipped = _look_at(folder, segmenter, files)
    num_clusters = read_num_clusters(segmenter)
    pixels = np.zeros(num_clusters, dtype=np.int64)
    parts: list[Segments] = []
    for index in range(len(files)):
        kept = folder.kept_map(index)
        if kept is not None:
            clusters, segments = kept
            pixels += np.bincount(clusters.ravel(), minlength=num_clusters)
            parts.append(segments)
    if not parts:
        raise UserError(f"not one image could be read: {describe_skipped(skipped)}")
    if skipped:
        logger.warning("%s", describe_skipped(skipped))
    segments = Segments.joined(parts)
    chosen = [_examples(segments, cluster) for cluster in range(num_clusters)]
    _draw(folder, files, segments, chosen)
    index = CropIndex(
        segmenter=identity,
        num_images=len(parts),
        pixels=tuple(pixels.tolist()),
        counts=tuple((len(e.typical), len(e.borderline), len(e.random)) for e in chosen),
    )
    folder.finish(index)
    return index


def _look_at(folder: CropFolder, segmenter: Path, files: tuple[ImageFile, ...]) -> dict[str, str]:
    """Keep map and segments of each image where none are; {name: reason} of bad images."""
    left = [unit for unit in image_units(files, _BATCH) if not _is_kept(folder, unit)]
    skipped: dict[str, str] = {}
    with this_process():
        results = stream(
            left,
            prepare=read_images,
            actor=LookActor,
            actor_kwargs={"segmenter": str(segmenter.absolute())},
            actors=feature_actors(),
        )
        total = sum(len(unit.images) for unit in left)
        for looked in watched(results, "crops", total, closes=False):
            for index, (clusters, segments) in looked.found.items():
                folder.keep_map(index, clusters, segments)
            skipped |= looked.skipped
    return skipped


def _is_kept(folder: CropFolder, unit: ImageUnit) -> bool:
    return all(folder.kept_map(index) is not None for index in unit.images)


def _examples(segments: Segments, cluster: int) -> Examples:
    """Of one cluster; places are those among all segments."""
    places = np.flatnonzero(segments.cluster == cluster)
    own = Segments(**{name: values[places] for name, values in vars(segments).items()})
    found = choose(own, generator("crops", cluster))
    return Examples(places[found.typical], places[found.borderline], places[found.random])


def _draw(
    folder: CropFolder, files: tuple[ImageFile, ...], segments: Segments, chosen: Sequence[Examples]
) -> None:
    """Write the crops, image by image."""
    wanted: defaultdict[int, list[tuple[int, Path]]] = defaultdict(list)
    for cluster, examples in enumerate(chosen):
        for kind in KINDS:
            for number, place in enumerate(getattr(examples, kind).tolist()):
                wanted[int(segments.image[place])].append(
                    (place, folder.crop(cluster, kind, number))
                )
    for image, crops in wanted.items():
        kept = folder.kept_map(image)
        assert kept is not None
        try:
            pixels = read_image(files[image].path)
        except BadImageError as error:
            raise UserError(f"{files[image].name} is gone while crops are made: {error}") from error
        for place, path in crops:
            top, left, bottom, right = segments.box[place].tolist()
            mask = kept[0] == segments.cluster[place]
            drawn = outlined(pixels, mask, (top, left, bottom, right), side=SIDE)
            _save(path, drawn)


def _save(path: Path, pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels)
    write_atomic(path, lambda temporary: image.save(temporary, "JPEG", quality=_QUALITY))
