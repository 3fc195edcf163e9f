"""Data sets by name: each loader is one small file that makes an ``ImageSet``."""

import difflib
from dataclasses import replace

from raynef.config.recipe import Data
from raynef.core.errors import UserError
from raynef.images.datasets.ade20k import open_ade20k
from raynef.images.datasets.cityscapes import open_cityscapes, open_cityscapes_19
from raynef.images.datasets.coco_20k import open_coco_20k
from raynef.images.datasets.coco_stuff import open_coco_stuff_27
from raynef.images.datasets.folder import open_folder
from raynef.images.datasets.imagenet import open_imagenet
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.pascal_context import open_pascal_context, open_pascal_context_60
from raynef.images.datasets.saliency import open_cub, open_dut_omron, open_duts_te, open_ecssd
from raynef.images.datasets.voc import open_voc2012, open_voc2012_aug
from raynef.images.datasets.voc_boxes import open_voc2007_boxes, open_voc2012_boxes, open_voc_boxes

_LOADERS = {
    "folder": open_folder,
    "pascal_context": open_pascal_context,
    "pascal_context_60": open_pascal_context_60,
    "cityscapes": open_cityscapes,
    "cityscapes_19": open_cityscapes_19,
    "ade20k": open_ade20k,
    "voc2012": open_voc2012,
    "voc2012_aug": open_voc2012_aug,
    "coco_stuff_27": open_coco_stuff_27,
    "imagenet": open_imagenet,
    "voc2007_boxes": open_voc2007_boxes,
    "voc2012_boxes": open_voc2012_boxes,
    "voc_boxes": open_voc_boxes,
    "coco_20k": open_coco_20k,
    "cub": open_cub,
    "dut_omron": open_dut_omron,
    "duts_te": open_duts_te,
    "ecssd": open_ecssd,
}


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
    images = _LOADERS[data.name](data.root, split)
    if data.label_orientation == "auto":
        return images
    files = (replace(file, label_orientation=data.label_orientation) for file in images.files)
    return replace(images, files=tuple(files))
