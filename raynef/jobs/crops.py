"""Crops of training images that show what each cluster of a segmenter is: for ``raynef name``."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raynef.config.recipe import Recipe
from raynef.core.errors import UserError
from raynef.images.datasets.folder import open_folder
from raynef.images.datasets.imageset import ImageFile, ImageSet
from raynef.images.datasets.registry import open_split
from raynef.io.storage import absolute, file_sizes, without_secrets
from raynef.models.folder import segmenter_folder, segmenter_identity
from raynef.stores.crops import CropFolder, CropIndex, crop_folder, finished_crops, making
from raynef.stores.run import RunFolder

logger = logging.getLogger("raynef")

MAX_IMAGES = 512
"""That are looked at, spread evenly: of 128 clusters each is then in dozens of images."""


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
        segmenter = segmenter_folder(run).absolute()
        folder = RunFolder(segmenter.parent)
        if segmenter.name == "segmenter" and folder.record_file.is_file():
            return cls(segmenter, folder.path, folder.recipe())
        return cls(segmenter, segmenter, None)


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
    identity = segmenter_identity(source.segmenter)
    try:
        files = files_of(source, images)
    except UserError:
        # Crops that were made once outlive their images.
        kept = None if images is not None else finished_crops(source.place, identity)
        if kept is None:
            raise
        logger.warning("no images are at hand; crops that were made before are shown")
        return kept
    listed = list(zip((f.name for f in files), file_sizes([f.path for f in files]), strict=True))
    folder = crop_folder(source.place, identity, listed)
    index = folder.index()
    if index is None:
        with making(source.place, folder):
            index = folder.index()
            if index is None:
                words = "looking for examples of each cluster in %d images; this is done once"
                logger.info(words, len(files))
                # Only here: a page whose crops are there opens without torch.
                from raynef.work.crop_making import make_crops

                index = make_crops(folder, source.segmenter, identity, files)
    return folder, index


def files_of(source: Source, images: str | None) -> tuple[ImageFile, ...]:
    """The images that clusters are shown on, at most ``MAX_IMAGES``. Raises UserError: none."""
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
