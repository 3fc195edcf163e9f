"""Cityscapes: street scenes, 2,975 to train and 500 to evaluate on, with 27 or 19 classes.

    leftImg8bit/{train,val,test}/{city}/{city}_{seq}_{frame}_leftImg8bit.png
    gtFine/{train,val,test}/{city}/{city}_{seq}_{frame}_gtFine_labelIds.png     0 to 33

Both sets of classes are read from labelIds, which the download holds; labelTrainIds is not used.
"""

from raynef.core import IGNORE
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.pairing import Files, find_root, official_split, pair
from raynef.io.storage import join

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


def open_cityscapes(root: str, split: str | None) -> ImageSet:
    """The 27 classes of label-free segmentation (Table 2, arXiv:2304.02841).

    Raises:
        UserError: the layout is not there, an unknown split, or images and labels do not pair up.
    """
    return _open("cityscapes", root, split, CITYSCAPES_CLASSES, range(_FIRST, _NUM_IDS))


def open_cityscapes_19(root: str, split: str | None) -> ImageSet:
    """The 19 classes of the supervised benchmark (Table 3, arXiv:2304.02841).

    Raises:
        UserError: the layout is not there, an unknown split, or images and labels do not pair up.
    """
    return _open("cityscapes_19", root, split, CITYSCAPES_19_CLASSES, _SCORED_IDS)


def _open(
    name: str,
    root: str,
    split: str | None,
    classes: tuple[str, ...],
    ids: range | tuple[int, ...],
) -> ImageSet:
    found = find_root(root, "leftImg8bit")
    official = official_split(name, split, ("train", "val", "test"))
    files = pair(
        Files(join(found, "leftImg8bit", official), "_leftImg8bit.png"),
        Files(join(found, "gtFine", official), "_gtFine_labelIds.png"),
    )
    codes = [IGNORE] * _NUM_IDS
    for index, label_id in enumerate(ids):
        codes[label_id] = index
    return ImageSet(found, official, files, classes, tuple(codes), name)
