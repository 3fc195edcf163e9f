"""Pascal VOC: its layout of images, labels and lists, and VOC 2012 with 20 classes and background.

    VOCdevkit/VOC2012/JPEGImages/*.jpg
                      SegmentationClass/*.png        0 to 20, and 255 = void
                      SegmentationClassAug/*.png     likewise, of the 10,582 images of trainaug.txt
                      ImageSets/Segmentation/{train,val,trainval,trainaug}.txt

A list holds a stem a line. The root may be the folder that holds VOCdevkit, VOCdevkit or VOC2012.
"""

from collections.abc import Mapping

from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageFile, ImageSet
from raynef.images.datasets.pairing import Files, find_root, official_split, pair
from raynef.io.storage import join, list_files, read_lines

_LISTS = "ImageSets/Segmentation"
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
"""In the order of the development kit."""


def open_voc2012(root: str, split: str | None) -> ImageSet:
    """VOC 2012 as published: 1,464 images to train and 1,449 to evaluate on.

    Raises:
        UserError: the layout is not there, an unknown split, or images and labels do not pair up.
    """
    found = find_root(root, _LISTS, below=("VOC2012", "VOCdevkit/VOC2012"))
    official = listed_split("voc2012", found, _LISTS, split)
    files = listed_files(found, _LISTS, official, labels="SegmentationClass")
    return ImageSet(found, official, files, VOC_CLASSES, name="voc2012")


def open_voc2012_aug(root: str, split: str | None) -> ImageSet:
    """VOC 2012 that trains on trainaug.txt, labeled in SegmentationClassAug; val as published.

    Raises:
        UserError: the layout is not there, an unknown split, or images and labels do not pair up.
    """
    found = find_root(root, _LISTS, below=("VOC2012", "VOCdevkit/VOC2012"))
    official = listed_split("voc2012_aug", found, _LISTS, split, aliases={"train": "trainaug"})
    labels = "SegmentationClassAug" if official == "trainaug" else "SegmentationClass"
    files = listed_files(found, _LISTS, official, labels=labels)
    return ImageSet(found, official, files, VOC_CLASSES, name="voc2012_aug")


def listed_split(
    name: str, root: str, lists: str, split: str | None, *, aliases: Mapping[str, str] | None = None
) -> str:
    """The official name of a split, where each file of the folder ``lists`` is one."""
    there = [
        file.removesuffix(".txt") for file in list_files(join(root, lists), suffixes=(".txt",))
    ]
    return official_split(name, split, there, aliases=aliases)


def listed_files(root: str, lists: str, split: str, *, labels: str) -> tuple[ImageFile, ...]:
    """The images of JPEGImages that a list names, with their labels in the folder ``labels``."""
    source = join(root, lists, f"{split}.txt")
    stems = read_lines(source)
    if not stems:
        raise UserError(f"{source} names no image")
    images = Files(join(root, "JPEGImages"), ".jpg")
    return pair(images, Files(join(root, labels), ".png"), listed=stems)
