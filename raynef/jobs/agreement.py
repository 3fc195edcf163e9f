"""How well a segmenter agrees with itself: a quantity without labels that goes with mIoU.

It compares runs of one K and one backbone (docs/research/choosing.md).
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raynef.assign.information import mutual_information
from raynef.config.recipe import Data
from raynef.core.errors import BadImageError
from raynef.images.datasets.imageset import ImageSet
from raynef.images.decode import read_image
from raynef.images.geometry import center_crop, resize, short_side_size
from raynef.models.segmenter import Segmenter
from raynef.stores.kept import TapCache

NUM_IMAGES = 64
_AT_ONCE = 8


def agreement(
    segmenter: Segmenter, images: ImageSet, data: Data, *, kept: Path | None = None
) -> float:
    """What the clusters of an image say of those of the same image moved by half a patch.

    Mutual information over the patches of ``NUM_IMAGES`` images, spread evenly, as a share of
    log₂ K: 1 where all K clusters are equally large and do not depend on where the grid of patches
    lies, 0 where there is one cluster or the two say nothing of each other. No label is read.

    Args:
        images: that train.
        data: the size of a crop.
        kept: folder of a ``TapCache``.
    """
    taps, side = TapCache(segmenter, kept), data.crop
    half = segmenter.backbone.patch_size // 2
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for crops in _crops(images, side + half):
        for maps, start in zip(found, (0, half), strict=True):
            part = np.ascontiguousarray(crops[:, start : start + side, start : start + side])
            padded = segmenter.padded(part)
            logits = segmenter.logits(taps(padded), padded.shape[1:3])
            maps.append(logits.argmax(dim=-1).cpu().numpy())
    plain, moved = (np.concatenate(maps) for maps in found)
    count = segmenter.num_clusters
    return mutual_information(plain, moved, count) / math.log2(count)


def _crops(images: ImageSet, side: int) -> Iterator[np.ndarray]:
    """Center crops of images that can be read, a few at a time: uint8 [B, S, S, 3]."""
    crops: list[np.ndarray] = []
    for file in images.files[:: -(-len(images.files) // NUM_IMAGES)]:
        try:
            image = read_image(file.path)
        except BadImageError:
            continue  # training counted and named it
        crops.append(center_crop(resize(image, short_side_size(image.shape, side)), side))
        if len(crops) == _AT_ONCE:
            yield np.stack(crops)
            crops = []
    if crops:
        yield np.stack(crops)
