"""What happens to a few images on their way to files: read, segmented, written."""

import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image

from raynef.config.recipe import Evaluate
from raynef.images.datasets.imageset import ImageFile
from raynef.io.sink import write_all, write_bytes
from raynef.io.storage import file_sizes
from raynef.models.segmenter import Segmenter
from raynef.report.palette import overlay, palette
from raynef.segment.crf import Temperature
from raynef.segment.patch_map import PatchMap, cluster_maps
from raynef.segment.sharpened import sharpened_clusters
from raynef.stores.formats.base import Categories, Labeled
from raynef.stores.formats.registry import FormatName, format_of
from raynef.stores.label_files import encode_photograph
from raynef.stores.predicted import Record, hash_of
from raynef.work.reading import Photo, PredictUnit
from raynef.work.units import Carried, chunks

Overlay = Literal["png", "jpeg", "video", "none"]
"""Video: of images as JPEG, and of each video another one of its frames."""

MOST_IMAGES, _MOST_BYTES = 16, 8 << 20
"""Of a unit, whose pixels are held at once: so many images, or files of so many bytes."""
CRF_CLUSTERS = Evaluate().crf_clusters
"""That a CRF chooses from, in each image."""
QUALITY = 90
"""Of an overlay as JPEG."""


@dataclass(frozen=True)
class Making:
    """What is made of an image.

    Attributes:
        out: a path or an address.
        settings: hash of what shapes the results.
        categories: what the numbers mean.
        formats: of the files.
        overlay: of the picture.
        classes: of each cluster, K long, -1 for none; None where there are no names.
        groups: of each cluster, int64 [K], which take the place of the clusters; None for them.
        tile: side of the windows in which photographs are seen at full resolution; None for whole
            ones at the segmenter's scale.
        crf: temperature that a dense CRF starts from; None where none follows.
    """

    out: str
    settings: str
    categories: Categories
    formats: tuple[FormatName, ...]
    overlay: Overlay
    classes: tuple[int, ...] | None = None
    groups: np.ndarray | None = None
    tile: int | None = None
    crf: Temperature | None = None

    def labeled(self, output: str, clusters: np.ndarray) -> Labeled:
        """A segmenter's map [H, W] as formats take it."""
        classes = None if self.classes is None else self.classified(clusters)
        return Labeled(output, self.grouped(clusters), classes)

    def grouped(self, clusters: np.ndarray) -> np.ndarray:
        """Clusters, or what takes their place, uint16 [H, W]."""
        found = clusters if self.groups is None else self.groups[clusters]
        return found.astype(np.uint16)

    def classified(self, clusters: np.ndarray) -> np.ndarray:
        """The class of each pixel, int16 [H, W], -1 where its cluster has none."""
        assert self.classes is not None
        return np.asarray(self.classes, dtype=np.int16)[clusters]


@dataclass(frozen=True)
class Segmented:
    """An image with its clusters, uint16 [H, W], or what a CRF makes clusters of."""

    photo: Photo
    found: np.ndarray | PatchMap


@dataclass(frozen=True)
class Written:
    """How many images of a unit are written, and {name: reason} of those that are no image."""

    num_written: int
    skipped: dict[str, str]

    @property
    def num_images(self) -> int:
        return self.num_written + len(self.skipped)


def predict_units(
    files: Sequence[ImageFile], outputs: Sequence[str], *, most: int = MOST_IMAGES
) -> list[PredictUnit]:
    """Units of a few images each, fewer where their files are large. ``part`` is not given yet."""
    sizes = file_sizes([file.path for file in files])
    units: list[PredictUnit] = []
    start, held = 0, 0
    for index, size in enumerate(sizes):
        if index > start and (index - start == most or held + (size or 0) > _MOST_BYTES):
            units.append(_unit(files, outputs, start, index))
            start, held = index, 0
        held += size or 0
    if files:
        units.append(_unit(files, outputs, start, len(files)))
    return units


def _unit(files: Sequence[ImageFile], outputs: Sequence[str], start: int, end: int) -> PredictUnit:
    return PredictUnit(
        range(start, end), tuple(files[start:end]), outputs=tuple(outputs[start:end])
    )


class PredictActor:
    """Actor: a segmenter; each image with its map.

    On a GPU images that are seen at one size go through it together. On a CPU that gains nothing,
    and rounds sums otherwise: each alone, a map does not depend on what lies beside its image.
    """

    def __init__(self, segmenter: str, making: Making, device: str) -> None:
        self.segmenter, self.making = Segmenter.load(segmenter, device=device), making
        alone = self.segmenter.device.type == "cpu"
        self.at_once = 1 if alone else self.segmenter.backbone_config.batch_size

    def __call__(self, read: Carried[PredictUnit, Photo]) -> Carried[PredictUnit, Segmented]:
        maps = self._maps(read.values)
        found = {}
        for index, patches in maps:
            photo = read.values[index]
            if self.making.crf is None:
                found[index] = Segmented(photo, _upsampled(patches, photo))
            else:
                logits = patches.logits.float().cpu()
                found[index] = Segmented(photo, replace(patches, logits=logits))
        return Carried(read.unit, found, read.skipped)

    def _maps(self, photos: dict[int, Photo]) -> Iterator[tuple[int, PatchMap]]:
        tile = self.making.tile
        if tile is None:
            return patch_maps(self.segmenter, photos, at_once=self.at_once)
        return ((i, self.segmenter.tiled(photo.pixels, tile)) for i, photo in photos.items())


def patch_maps(
    segmenter: Segmenter, photos: dict[int, Photo], *, at_once: int
) -> Iterator[tuple[int, PatchMap]]:
    """(index, patch logits) of photographs of any sizes, as of ``seen_maps``."""
    seen = {index: segmenter.seen(photo.pixels) for index, photo in photos.items()}
    return seen_maps(segmenter, seen, at_once=at_once)


def seen_maps(
    segmenter: Segmenter, seen: Mapping[int, np.ndarray], *, at_once: int
) -> Iterator[tuple[int, PatchMap]]:
    """(index, patch logits) of images at the sizes at which they are seen, uint8 [H, W, 3].

    Those of one size go through the segmenter together, about ``at_once`` windows.
    """
    alike: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, pixels in seen.items():
        alike[pixels.shape].append(index)
    for shape, group in alike.items():
        step = max(1, at_once // segmenter.windows((shape[0], shape[1])).count)
        for some in chunks(group, step):
            maps = segmenter.patch_maps(np.stack([seen[index] for index in some]))
            yield from zip(some, maps, strict=True)


def _upsampled(found: PatchMap, photo: Photo) -> np.ndarray:
    height, width = photo.pixels.shape[:2]
    return cluster_maps([found], (height, width))[0]


def _clusters(segmented: Segmented, making: Making) -> np.ndarray:
    """Of each pixel, [H, W]."""
    found = segmented.found
    if isinstance(found, np.ndarray):
        return found
    assert making.crf is not None
    return sharpened_clusters(
        segmented.photo.pixels, found, num_top=CRF_CLUSTERS, temperature=making.crf
    )


def write_photos(found: Carried[PredictUnit, Segmented], *, making: Making) -> Written:
    """Task: write the files of a unit's images, and then their records."""
    formats = {name: format_of(name) for name in making.formats}
    units = zip(found.unit.images, found.unit.files, found.unit.outputs, strict=True)
    names = {index: (file.name, output) for index, file, output in units}
    lines, contents = [], {}
    for index, segmented in found.values.items():
        (name, output), pixels = names[index], segmented.photo.pixels
        labeled = making.labeled(output, _clusters(segmented, making))
        made = _overlay(pixels, labeled, making)
        entries = {}
        for kind_name, kind in formats.items():
            made |= kind.files(labeled, making.categories)
            if kind.entry is not None:
                entries[kind_name] = kind.entry(labeled, making.categories)
        contents |= made
        record = Record(
            settings=making.settings,
            name=name,
            output=output,
            content=segmented.photo.content,
            width=pixels.shape[1],
            height=pixels.shape[0],
            files={path: hash_of(content) for path, content in made.items()},
            entries=entries,
        )
        lines.append(record.line())
    write_all(making.out, contents)
    if lines:
        write_bytes(found.unit.part, "".join(lines).encode())
    return Written(len(lines), found.skipped)


def _overlay(pixels: np.ndarray, labeled: Labeled, making: Making) -> dict[str, bytes]:
    if making.overlay == "none":
        return {}
    colors = palette(max(2, making.categories.num_clusters))
    drawn = overlay(pixels, labeled.clusters, colors)
    if making.overlay == "png":
        return {f"overlays/{labeled.output}": encode_photograph(drawn)}
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, format="JPEG", quality=QUALITY)
    name = PurePosixPath(labeled.output).with_suffix(".jpg").as_posix()
    return {f"overlays/{name}": buffer.getvalue()}
