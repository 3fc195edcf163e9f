"""Data sets by name: each is declared in one small file, which has one line here."""

import difflib
from dataclasses import replace
from functools import cache
from importlib import import_module

from raynef.config.recipe import Data
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.layout import Layout, Special

_FILES = (
    "ade20k",
    "cityscapes",
    "coco_20k",
    "coco_stuff",
    "folder",
    "imagenet",
    "pascal_context",
    "saliency",
    "voc",
    "voc_boxes",
)


@cache
def _data_sets() -> dict[str, Layout | Special]:
    modules = [import_module(f"raynef.images.datasets.{file}") for file in _FILES]
    return {declared.name: declared for module in modules for declared in module.DATA_SETS}


def dataset_names() -> list[str]:
    """The data sets that can be opened."""
    return sorted(_data_sets())


def open_split(data: Data, split: str | None) -> ImageSet:
    """Open a split of the recipe's data set. Raises UserError where there is none."""
    if data.name not in _data_sets():
        near = difflib.get_close_matches(data.name, dataset_names(), n=1)
        guess = f"; did you mean {near[0]}?" if near else "."
        raise UserError(
            f"data.name {data.name!r} is no data set{guess} There are: {', '.join(dataset_names())}"
        )
    if not data.root:
        raise UserError("data.root is not set; give the data set's folder with --data.root DIR")
    images = _data_sets()[data.name].open(data.root, split)
    if data.label_orientation == "auto":
        return images
    files = (replace(file, label_orientation=data.label_orientation) for file in images.files)
    return replace(images, files=tuple(files))
