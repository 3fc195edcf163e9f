"""How many clusters, where a recipe leaves it to the number of images."""

import logging
import math
from dataclasses import replace
from pathlib import Path

from raynef.config.recipe import Recipe, check
from raynef.images.datasets.registry import open_split
from raynef.models.folder import read_num_clusters, segmenter_folder
from raynef.stores.run import RunFolder

logger = logging.getLogger("raynef")

_FEWEST, _MOST = 16, 256


def suited_clusters(num_images: int) -> int:
    """K for so many training images: the power of two nearest to 8·√images, from 16 to 256."""
    return min(_MOST, max(_FEWEST, 2 ** round(math.log2(8 * math.sqrt(max(1, num_images))))))


def with_clusters(
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    like: str | Path | None = None,
    num_images: int | None = None,
) -> Recipe:
    """The recipe with its K, where ``eigen.num_eigenfunctions`` is 0: that of a run that is begun
    in ``out``, else that of a run or segmenter that it is to be ``like``, else ``suited_clusters``.

    Args:
        num_images: that train; None: they are counted.

    Raises:
        UserError: there are no such images, or K fits no other field.
    """
    if recipe.eigen.num_eigenfunctions:
        return recipe
    if out is not None and RunFolder(Path(out)).record_file.is_file():
        chosen = RunFolder(Path(out)).recipe().eigen.num_eigenfunctions
    elif like is not None:
        chosen = read_num_clusters(segmenter_folder(like))
    else:
        if num_images is None:
            num_images = len(open_split(recipe.data, recipe.data.train_split).files)
        chosen = suited_clusters(num_images)
        logger.info(
            "K = %d clusters, which suits %d images; --eigen.num-eigenfunctions gives another",
            chosen,
            num_images,
        )
    return check(replace(recipe, eigen=replace(recipe.eigen, num_eigenfunctions=chosen)))
