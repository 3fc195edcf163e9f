"""Data sets by name: each loader is one small file that makes an ``ImageSet``."""

import difflib

from raynef.core.errors import UserError
from raynef.core.recipe import Data
from raynef.images.folder import open_folder
from raynef.images.imageset import ImageSet

_LOADERS = {"folder": open_folder}


def dataset_names() -> list[str]:
    """The data sets that have a loader."""
    return sorted(_LOADERS)


def open_split(data: Data, split: str) -> ImageSet:
    """Open a split of the recipe's data set. Raises UserError where there is none."""
    if data.name not in _LOADERS:
        near = difflib.get_close_matches(data.name, _LOADERS, n=1)
        guess = f"; did you mean {near[0]}?" if near else "."
        raise UserError(
            f"data.name {data.name!r} is no data set{guess} There are: {', '.join(dataset_names())}"
        )
    if not data.root:
        raise UserError("data.root is not set; give the data set's folder with --data.root DIR")
    return _LOADERS[data.name](data.root, split)
