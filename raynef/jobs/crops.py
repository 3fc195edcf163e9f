"""Crops of training images that show what each cluster of a segmenter is: for ``raynef name``."""

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
from raynef.config.recipe import Recipe
from raynef.core.draws import generator
from raynef.core.errors import BadImageError, UserError
from raynef.images.datasets.folder import open_folder
from raynef.images.datasets.imageset import ImageFile, ImageSet
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image
from raynef.images.geometry import resize
from raynef.io.files import write_atomic
from raynef.io.storage import absolute, file_sizes, without_secrets
from raynef.jobs.work import Carried, ImageUnit, describe_skipped, image_units, read_images, watched
from raynef.models.folder import identity_of, read_num_clusters, segmenter_folder
from raynef.models.segmenter import Segmenter
from raynef.report.outline import outlined
from raynef.segment.examples import Examples, Segments, choose, segments_of
from raynef.stores.crops import KINDS, CropFolder, CropIndex, crop_folder, finished_crops, making
from raynef.stores.run import RunFolder

logger = logging.getLogger("raynef")

MAX_IMAGES = 512
"""That are looked at, spread evenly: of 128 clusters each is then in dozens of images."""
SIDE = 192
"""Of a crop, in pixels."""

_BATCH = 4  # images of a unit
_QUALITY = 82  # of JPEG


@dataclass(frozen=True)
class Source:
    """Whose clusters are shown, and on what.

    Attributes:
        segmenter: its folder.
        place: the run's folder, or the segmenter's where it has no run: crops are kept there.
        recipe: of the run.
    """

    segmenter: Path
    place: Path
    recipe: Recipe | None

    @classmethod
    def of(cls, run: str | Path) -> "Source":
        """Of a run, or of a segmenter's folder, within a run or alone."""
        segmenter = segmenter_folder(run)
        folder = RunFolder(segmenter.absolute().parent)
        if segmenter.name == "segmenter" and folder.record_file.is_file():
            return cls(segmenter, folder.path, folder.recipe())
        return cls(segmenter, segmenter, None)


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
        small = resize(image, self.segmenter.seen_size(image.shape))
        pixels = self.segmenter.pixel_logits(small[None], small.shape[:2])
        clusters = pixels.argmax()[0].cpu().numpy().astype(np.uint16)
        best = pixels.logits[0].topk(min(2, self.segmenter.num_clusters), dim=-1).values
        margins = pixels.rows @ (best[..., 0] - best[..., -1]).cpu() @ pixels.columns.T
        return clusters, segments_of(clusters, margins.numpy(), image=index)


def crops_of(run: str | Path, images: str | None = None) -> tuple[CropFolder, CropIndex]:
    """The crops of each cluster of a run's segmenter, made where they are not there yet.

    The same for every call: they follow from the segmenter and the images. Killed on the way, the
    next call goes on.

    Args:
        run: its folder, or a segmenter's.
        images: a folder or an address; None for the training images of the run.

    Raises:
        UserError: no segmenter, or no image to be found or read.
    """
    source = Source.of(run)
    identity = identity_of(source.segmenter)
    try:
        files = _files(source, images)
    except UserError:
        # Crops that were made once outlive their images.
        kept = None if images is not None else finished_crops(source.place, identity)
        index = kept and kept.index()
        if not kept or not index:
            raise
        logger.warning("the images are not there any more; crops made before are shown")
        return kept, index
    listed = list(zip((f.name for f in files), file_sizes([f.path for f in files]), strict=True))
    folder = crop_folder(source.place, identity, listed)
    index = folder.index()
    if index is None:
        with making(source.place, folder):
            index = folder.index() or _make(folder, source.segmenter, identity, files)
    return folder, index


def _files(source: Source, images: str | None) -> tuple[ImageFile, ...]:
    """The images that are looked at. Raises UserError: none."""
    hint = "give a folder of such images with --images DIR"
    if images is not None:
        found: ImageSet = open_folder(absolute(images), None)
    elif source.recipe is None:
        raise UserError(f"{source.segmenter} is a segmenter without its run: {hint}")
    else:
        try:
            found = open_split(source.recipe.data, source.recipe.data.train_split)
        except UserError as error:
            raise UserError(f"the images that the run was trained on: {error}; {hint}") from error
    sizes = file_sizes([file.path for file in found.files])
    there = [file for file, size in zip(found.files, sizes, strict=True) if size is not None]
    if not there:
        raise UserError(f"no image of {without_secrets(found.root)} is there any more; {hint}")
    picks = np.linspace(0, len(there) - 1, min(MAX_IMAGES, len(there))).round().astype(int)
    return tuple(there[pick] for pick in np.unique(picks))


def _make(
    folder: CropFolder, segmenter: Path, identity: str, files: tuple[ImageFile, ...]
) -> CropIndex:
    logger.info("looking for examples of each cluster in %d images; this is done once", len(files))
    num_clusters = read_num_clusters(segmenter)
    pixels = np.zeros(num_clusters, dtype=np.int64)
    parts: list[Segments] = []
    for clusters, segments in _looked_at(folder, segmenter, files):
        pixels += np.bincount(clusters.ravel(), minlength=num_clusters)
        parts.append(segments)
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


def _looked_at(
    folder: CropFolder, segmenter: Path, files: tuple[ImageFile, ...]
) -> list[tuple[np.ndarray, Segments]]:
    """Map and segments of each image that can be read; those that are kept are not made anew."""
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
    kept = [folder.kept_map(index) for index in range(len(files))]
    found = [one for one in kept if one is not None]
    if not found:
        raise UserError(f"not one image could be read: {describe_skipped(skipped)}")
    if skipped:
        logger.warning("%s", describe_skipped(skipped))
    return found


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
