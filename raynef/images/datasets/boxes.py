"""Boxes around the objects of an image, as people drew them.

A box is (x0, y0, x1, y1) in pixels, half-open: the object's columns are x0 ≤ x < x1 and its rows
y0 ≤ y < y1, counted from 0 at the top left, so that its width is x1 − x0. VOC counts pixels from 1
and its last column belongs to the object: xmin − 1, ymin − 1, xmax, ymax. COCO's x, y, width and
height count from 0: x, y, x + width, y + height.
"""

from xml.etree import ElementTree

import numpy as np

from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageFile, ImageSet
from raynef.images.decode import Stored
from raynef.images.oriented import turn_boxes
from raynef.io.storage import read_text, without_secrets

_MOST_BYTES = 16 << 20  # of an annotation: VOC's have some kilobytes
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def has_boxes(images: ImageSet) -> bool:
    """Whether any image of the set comes with boxes, be it with none at all drawn in it."""
    return any(_is_annotated(file) for file in images.files)


def require_boxes(images: ImageSet) -> None:
    """Raise UserError unless every image of the set comes with boxes. Opens no annotation."""
    missing = [file for file in images.files if not _is_annotated(file)]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(images.files)} images under {without_secrets(images.root)} "
            f"have no boxes; the first is {missing[0].name}. Localization is scored on a data set "
            "with boxes: voc2007_boxes, voc2012_boxes, coco_20k, or your own as voc_boxes"
        )


def _is_annotated(file: ImageFile) -> bool:
    return file.annotation is not None or file.boxes is not None


def read_boxes(
    file: ImageFile, *, difficult: bool = True, stored: Stored | None = None
) -> np.ndarray:
    """The m boxes of an image in the order of its annotation, float64 [m, 4]; m may be 0.

    They lie on the image as it is shown: see ``oriented``. Those that VOC marks as ``difficult``
    may be left out; COCO marks none. ``stored`` says how the image is stored; if None, its file.

    Raises:
        UserError: no boxes, an annotation that is missing or malformed, a box without area or
            with a number that is not finite, or one that may lie either way; names the file.
    """
    if file.boxes is not None:
        source, boxes, size = file.name, list(file.boxes), file.boxes_size
    elif file.annotation is not None:
        source = without_secrets(file.annotation)
        boxes, size = _read_voc(file.annotation, source, difficult)
    else:
        raise UserError(f"{file.name} comes without boxes")
    found = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    sound = np.isfinite(found).all(axis=1) & (found[:, :2] < found[:, 2:]).all(axis=1)
    if not sound.all():
        first = int(sound.argmin())
        raise UserError(
            f"{source}: box {first + 1} of {len(found)} must have x0 < x1 and y0 < y1, all finite, "
            f"got {found[first].tolist()}"
        )
    return turn_boxes(file, found, size, stored=stored)


def _read_voc(
    location: str, source: str, difficult: bool
) -> tuple[list[tuple[float, float, float, float]], tuple[int, int] | None]:
    """Boxes of one VOC annotation, and (H, W) of what they were drawn on, where it says so.

    ``source`` is its location to be shown.
    """
    text = read_text(location, most=_MOST_BYTES)
    if "<!DOCTYPE" in text:  # where entities are declared, which may stand for gigabytes
        raise UserError(f"{source} has a DOCTYPE, which no annotation needs; it is not read")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise UserError(f"{source} is no XML: {error}") from error
    if root.tag != "annotation":
        raise UserError(f"{source} must hold an <annotation> of VOC, got <{root.tag}>")
    boxes = []
    for number, item in enumerate(root.iterfind("object"), start=1):
        if not difficult and item.findtext("difficult", "0").strip() == "1":
            continue
        try:
            x0, y0, x1, y1 = (float(item.findtext(f"bndbox/{side}", "")) for side in _SIDES)
        except ValueError as error:
            raise UserError(
                f"{source}: object {number} must have a <bndbox> with the numbers "
                f"{', '.join(_SIDES)}"
            ) from error
        boxes.append((x0 - 1, y0 - 1, x1, y1))
    try:
        size = (int(root.findtext("size/height", "")), int(root.findtext("size/width", "")))
    except ValueError:
        return boxes, None
    return boxes, size if min(size) > 0 else None  # some tools write 0 for what they do not know
