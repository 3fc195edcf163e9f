"""Pascal Context: VOC 2010 images with 59 classes of things and stuff, and background.

    VOCdevkit/VOC2010/JPEGImages/*.jpg
                      SegmentationClassContext/*.png     0 = background, 1 to 59
                      ImageSets/SegmentationContext/{train,val}.txt

Labels and lists as the field makes them from the release (trainval_merged.json): 4,998 images to
train and 5,105 to evaluate on. The root may be the folder that holds VOCdevkit, VOCdevkit or
VOC2010.
"""

from raynef.core import IGNORE
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.pairing import find_root
from raynef.images.datasets.voc import listed_files, listed_split

PASCAL_CONTEXT_CLASSES = (
    "aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle",
    "building", "bus", "cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow",
    "cup", "curtain", "dog", "door", "fence", "floor", "flower", "food", "grass", "ground", "horse",
    "keyboard", "light", "motorbike", "mountain", "mouse", "person", "plate", "platform",
    "pottedplant", "road", "rock", "sheep", "shelves", "sidewalk", "sign", "sky", "snow", "sofa",
    "table", "track", "train", "tree", "truck", "tvmonitor", "wall", "water", "window", "wood",
)  # fmt: skip
"""Alphabetical, for the labels number the 59 by their ids among the 459 classes of the release."""


def open_pascal_context(root: str, split: str | None) -> ImageSet:
    """The 59 classes; background is not scored (Tables 1 and 5 to 9, arXiv:2304.02841).

    Raises:
        UserError: the layout is not there, an unknown split, or images and labels do not pair up.
    """
    codes = (IGNORE, *range(59))
    return _open("pascal_context", root, split, PASCAL_CONTEXT_CLASSES, codes)


def open_pascal_context_60(root: str, split: str | None) -> ImageSet:
    """Background and the 59 classes (Table 3, arXiv:2304.02841).

    Raises:
        UserError: the layout is not there, an unknown split, or images and labels do not pair up.
    """
    classes = ("background", *PASCAL_CONTEXT_CLASSES)
    return _open("pascal_context_60", root, split, classes, tuple(range(60)))


def _open(
    name: str, root: str, split: str | None, classes: tuple[str, ...], codes: tuple[int, ...]
) -> ImageSet:
    lists = "ImageSets/SegmentationContext"
    found = find_root(root, lists, below=("VOC2010", "VOCdevkit/VOC2010"))
    official = listed_split(name, found, lists, split)
    files = listed_files(found, lists, official, labels="SegmentationClassContext")
    return ImageSet(found, official, files, classes, codes, name)
