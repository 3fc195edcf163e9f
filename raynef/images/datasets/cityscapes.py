"""Cityscapes: street scenes, 2,975 to train and 500 to evaluate on, with 27 or 19 classes.

    leftImg8bit/{train,val,test}/{city}/{city}_{seq}_{frame}_leftImg8bit.png
    gtFine/{train,val,test}/{city}/{city}_{seq}_{frame}_gtFine_labelIds.png     0 to 33

Both sets of classes are read from labelIds, which the download holds; labelTrainIds is not used.
"""

from collections.abc import Iterable

from raynef.core import IGNORE
from raynef.images.datasets.layout import Files, Layout

_NUM_IDS, _FIRST = 34, 7  # label ids; those before the first class are void

CITYSCAPES_CLASSES = (
    "road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail",
    "bridge", "tunnel", "pole", "polegroup", "traffic light", "traffic sign", "vegetation",
    "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan", "trailer", "train",
    "motorcycle", "bicycle",
)  # fmt: skip
"""Label ids 7 to 33."""
_SCORED_IDS = (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)
CITYSCAPES_19_CLASSES = tuple(CITYSCAPES_CLASSES[i - _FIRST] for i in _SCORED_IDS)
"""Those that the official benchmark scores, in the order of its train ids."""


def _layout(name: str, classes: tuple[str, ...], ids: Iterable[int]) -> Layout:
    codes = [IGNORE] * _NUM_IDS
    for index, label_id in enumerate(ids):
        codes[label_id] = index
    return Layout(
        name=name,
        holds="leftImg8bit",
        splits=("train", "val", "test"),
        images=Files("leftImg8bit/{split}", "_leftImg8bit.png"),
        labels=Files("gtFine/{split}", "_gtFine_labelIds.png"),
        classes=classes,
        codes=tuple(codes),
    )


DATA_SETS = (
    # Label-free segmentation (Table 2, arXiv:2304.02841), and the supervised benchmark (Table 3).
    _layout("cityscapes", CITYSCAPES_CLASSES, range(_FIRST, _NUM_IDS)),
    _layout("cityscapes_19", CITYSCAPES_19_CLASSES, _SCORED_IDS),
)
