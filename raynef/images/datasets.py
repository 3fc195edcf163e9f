"""Data sets by name: each loader is one small file that makes an ``ImageSet``."""

from raynef.core.errors import UserError
from raynef.core.recipe import Data
from raynef.images.folder import ImageSet, open_folder

_LOADERS = {"folder": open_folder}


def open_split(data: Data, split: str) -> ImageSet:
    """Open a split of the recipe's data set. Raises UserError where there is none."""
    if not data.root:
        raise UserError("data.root is not set; give the data set's folder with --data.root DIR")
    return _LOADERS[data.name](data.root, split)
