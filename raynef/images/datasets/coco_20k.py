"""COCO-20k: 19,817 images of COCO train2014 with their boxes, on which objects are localized.

    train2014/COCO_train2014_*.jpg              or images/train2014
    annotations/instances_train2014.json        or beside the list
    coco_20k_filenames.txt                      an image a line

The list is of the code of rOSD (arXiv:2007.02662) and LOST (arXiv:2109.14279). A line is the name
of an image, with or without folders before it, or its id.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.pairing import Files, find_root, only_split, pair
from raynef.io.storage import absolute, is_file, join, read_lines, read_text, without_secrets

_SPLIT, _LIST, _INSTANCES = "train2014", "coco_20k_filenames.txt", "instances_train2014.json"

Boxes = tuple[tuple[float, float, float, float], ...]


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
    official = only_split("coco_20k", split, _SPLIT)
    source = join(base, _LIST)
    listed = [_stem(line) for line in read_lines(source)]
    if not listed:
        raise UserError(f"{without_secrets(source)} names no image")
    files = pair(Files(images, ".jpg"), None, listed=listed)
    instances = _find_instances(base)
    boxes, sizes = _read_instances(instances)
    missing = [stem for stem in listed if stem not in boxes]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(listed)} listed images are not in "
            f"{without_secrets(instances)}; the first is {missing[0]}.jpg"
        )
    annotated = [
        replace(file, boxes=boxes[_stem(file.name)], boxes_size=sizes.get(_stem(file.name)))
        for file in files
    ]
    return ImageSet(base, official, tuple(annotated), name="coco_20k")


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


def _read_instances(
    location: str,
) -> tuple[Mapping[str, Boxes], Mapping[str, tuple[int, int]]]:
    """{stem of an image: its boxes, half-open in pixels}, in the order of the file; and {stem:
    (H, W) of the image as the file has it}, where it has them."""
    text = read_text(location)
    try:
        found = json.loads(text, object_hook=_without_outline)
        boxes: dict[int, list[tuple[float, float, float, float]]] = {
            image["id"]: [] for image in found["images"]
        }
        for item in found["annotations"]:
            x, y, width, height = (float(value) for value in item["bbox"])
            if not (item["iscrowd"] or width <= 0 or height <= 0):
                boxes[item["image_id"]].append((x, y, x + width, y + height))
        sizes = {
            _stem(image["file_name"]): (int(image["height"]), int(image["width"]))
            for image in found["images"]
            if "height" in image and "width" in image
        }
        by_stem = {
            _stem(image["file_name"]): tuple(boxes[image["id"]]) for image in found["images"]
        }
        return by_stem, sizes
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise UserError(
            f"{without_secrets(location)} does not hold the instances of COCO "
            f"({type(error).__name__}: {error})"
        ) from error


def _without_outline(record: dict[str, Any]) -> dict[str, Any]:
    """Outlines are most of the file; they go as they are read, for memory's sake."""
    record.pop("segmentation", None)
    return record
