"""COCO-20k: 19,817 images of COCO train2014 with their boxes, on which objects are localized.

    train2014/COCO_train2014_*.jpg              or images/train2014
    annotations/instances_train2014.json        or beside the list
    coco_20k_filenames.txt                      an image a line

The list is of the code of rOSD (arXiv:2007.02662) and LOST (arXiv:2109.14279). A line is the name
of an image, with or without folders before it, or its id.
"""

import json
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.layout import (
    OURS,
    Files,
    Special,
    find_root,
    official_split,
    pair,
    read_list,
)
from raynef.io.storage import absolute, is_file, join, read_text, without_secrets

_SPLIT, _LIST, _INSTANCES = "train2014", "coco_20k_filenames.txt", "instances_train2014.json"

Box = tuple[float, float, float, float]
Boxes = tuple[Box, ...]
Size = tuple[int, int]


def open_coco_20k(root: str, split: str | None) -> ImageSet:
    """The listed images, with boxes; their one split is train2014. Reads all instances: seconds.

    Crowds are no objects, as in the field. Boxes without area, of which train2014 has a few, are
    left out: nothing overlaps them.

    Raises:
        UserError: the layout is not there, an unknown split, a list that is empty or names images
            that are not there, or instances that are malformed or lack listed images.
    """
    base = absolute(root)
    images = join(find_root(root, _SPLIT, below=("images",)), _SPLIT)
    official = official_split("coco_20k", split, (_SPLIT,), aliases=dict.fromkeys(OURS, _SPLIT))
    listed = [_stem(line) for line in read_list(join(base, _LIST))]
    files = pair(Files(images, ".jpg"), None, listed=listed)
    instances = _find_instances(base)
    drawn = _read_instances(instances)
    missing = [stem for stem in listed if stem not in drawn]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(listed)} listed images are not in "
            f"{without_secrets(instances)}; the first is {missing[0]}.jpg"
        )
    annotated = []
    for file in files:
        boxes, size = drawn[_stem(file.name)]
        annotated.append(replace(file, boxes=boxes, boxes_size=size))
    return ImageSet(base, official, tuple(annotated), name="coco_20k")


DATA_SETS = (Special("coco_20k", open_coco_20k),)


def _stem(line: str) -> str:
    """The stem of an image from its name, from a path to it or from its id."""
    stem = PurePosixPath(line).stem
    return f"COCO_{_SPLIT}_{int(stem):012d}" if stem.isdecimal() and len(stem) <= 12 else stem


def _find_instances(base: str) -> str:
    places = [join(base, "annotations", _INSTANCES), join(base, _INSTANCES)]
    for place in places:
        if is_file(place):
            return place
    raise UserError(f"there is no {' or '.join(without_secrets(place) for place in places)}")


def _read_instances(location: str) -> dict[str, tuple[Boxes, Size | None]]:
    """{stem of an image: its boxes, half-open in pixels, in the order of the file, and (H, W) of
    the image where the file says it}."""
    text = read_text(location)
    try:
        found = json.loads(text, object_hook=_without_outline)
        boxes: dict[int, list[Box]] = {image["id"]: [] for image in found["images"]}
        for item in found["annotations"]:
            x, y, width, height = (float(value) for value in item["bbox"])
            if not (item["iscrowd"] or width <= 0 or height <= 0):
                boxes[item["image_id"]].append((x, y, x + width, y + height))
        return {
            _stem(image["file_name"]): (tuple(boxes[image["id"]]), _size(image))
            for image in found["images"]
        }
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise UserError(
            f"{without_secrets(location)} does not hold the instances of COCO "
            f"({type(error).__name__}: {error})"
        ) from error


def _size(image: dict[str, Any]) -> Size | None:
    if "height" not in image or "width" not in image:
        return None
    return int(image["height"]), int(image["width"])


def _without_outline(record: dict[str, Any]) -> dict[str, Any]:
    """Outlines are most of the file; they go as they are read, for memory's sake."""
    record.pop("segmentation", None)
    return record
