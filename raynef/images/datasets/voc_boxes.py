"""VOC detection: images with a box around each object, of VOC 2007, VOC 2012 or one's own.

    VOCdevkit/VOC2007/JPEGImages/*.jpg
                      Annotations/*.xml
                      ImageSets/Main/{train,val,trainval,test}.txt

A list holds a stem a line; one with an underscore (aeroplane_train.txt) is of a class and no split.
Deep Spectral Methods localize objects in trainval (Table 1, arXiv:2205.07839).
"""

from collections.abc import Sequence
from dataclasses import replace

from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.pairing import Files, find_root, official_split, only_split, pair
from raynef.io.storage import join, list_files, read_lines, without_secrets

_LISTS = "ImageSets/Main"


def open_voc2007_boxes(root: str, split: str | None) -> ImageSet:
    """VOC 2007: 5,011 images in trainval. The root may be what holds VOCdevkit, or lie within.

    Raises:
        UserError: the layout is not there, an unknown split, or images and annotations do not pair
            up.
    """
    return _open("voc2007_boxes", root, split, below=("VOC2007", "VOCdevkit/VOC2007"))


def open_voc2012_boxes(root: str, split: str | None) -> ImageSet:
    """VOC 2012: 11,540 images in trainval. The root may be what holds VOCdevkit, or lie within.

    Raises:
        UserError: the layout is not there, an unknown split, or images and annotations do not pair
            up.
    """
    return _open("voc2012_boxes", root, split, below=("VOC2012", "VOCdevkit/VOC2012"))


def open_voc_boxes(root: str, split: str | None) -> ImageSet:
    """A data set of one's own, laid out as VOC2007 is; where it has one list, that is each split.

    Raises:
        UserError: the layout is not there, an unknown split, or images and annotations do not pair
            up.
    """
    return _open("voc_boxes", root, split)


def _open(name: str, root: str, split: str | None, *, below: Sequence[str] = ()) -> ImageSet:
    found = find_root(root, _LISTS, below=below)
    lists = [
        file.removesuffix(".txt")
        for file in list_files(join(found, _LISTS), suffixes=(".txt",))
        if "_" not in file
    ]
    if name == "voc_boxes" and len(lists) == 1:
        official = only_split(name, split, lists[0])
    else:
        official = official_split(name, split, lists)
    source = join(found, _LISTS, f"{official}.txt")
    stems = read_lines(source)
    if not stems:
        raise UserError(f"{without_secrets(source)} names no image")
    paired = pair(
        Files(join(found, "JPEGImages"), ".jpg"),
        Files(join(found, "Annotations"), ".xml"),
        listed=stems,
        kind="annotation",
    )
    files = tuple(replace(file, label=None, annotation=file.label) for file in paired)
    return ImageSet(found, official, files, name=name)
