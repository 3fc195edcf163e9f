"""Every image, label and annotation of a split opened once by tasks, and what is wrong counted.

What tasks return are sums and the first few names of each kind of problem: the driver's memory does
not grow with the number of images.
"""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from raynef.cluster.stream import stream
from raynef.core import IGNORE
from raynef.core.errors import BadImageError, UserError
from raynef.images.datasets.boxes import read_boxes
from raynef.images.datasets.imageset import ImageFile, ImageSet, LabelCodes
from raynef.images.decode import Stored, decode_image, read_encoded, read_label, stored_in
from raynef.images.oriented import AmbiguousLabelError, drawn_as_stored
from raynef.io.storage import without_secrets
from raynef.work.units import ImageUnit, image_units, watched

LISTED = 20
"""Of each kind of problem, by name."""
_BATCH = 32  # images of a unit
_LARGEST = 65_535  # value of a label file, of 16 bits

BAD_IMAGE = "unreadable image"
NO_LABEL = "missing label"
BAD_LABEL = "unreadable label"
OTHER_SIZE = "label of another size than its image"
EITHER_WAY = "label or boxes of an image turned by EXIF that may lie either way"
NO_CLASS = "label with values that are no class"
BAD_BOXES = "unreadable annotation"
NO_OBJECT = "image without an object"
LABEL_FAULTS = (NO_LABEL, BAD_LABEL, OTHER_SIZE, EITHER_WAY, NO_CLASS, BAD_BOXES)


@dataclass
class Found:
    """What some images of a split hold; two of them add up.

    Attributes:
        num_annotated: images whose boxes could be read, be it none.
        sizes: {(width, height): images}, as they are shown.
        turned: {"images": those that EXIF turns, "stored": labels drawn on their stored pixels,
            which turn with them, "upright": labels drawn on them as shown}.
        pixels: {class, or IGNORE: pixels}; None counts the pixels that are of no class.
        counts, first: {kind of problem: how many}, and the first of them, by name.
    """

    num_images: int = 0
    num_labels: int = 0
    num_annotated: int = 0
    num_boxes: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    turned: Counter[str] = field(default_factory=Counter)
    pixels: Counter[int | None] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=dict)

    def problem(self, kind: str, *first: str, count: int = 1) -> None:
        """More of a kind, of which the first are named."""
        self.counts[kind] += count
        listed = self.first.setdefault(kind, [])
        listed += first[: LISTED - len(listed)]

    def add(self, other: "Found") -> None:
        """Count another part of the same split."""
        self.num_images += other.num_images
        self.num_labels += other.num_labels
        self.num_annotated += other.num_annotated
        self.num_boxes += other.num_boxes
        self.sizes.update(other.sizes)
        self.turned.update(other.turned)
        self.pixels.update(other.pixels)
        for kind, count in other.counts.items():
            self.problem(kind, *other.first[kind], count=count)


def look(images: ImageSet, *, job: str) -> Found:
    """Open every image and label of a split. Needs a running Ray."""
    task = partial(look_at, codes=images.label_codes, num_classes=len(images.class_names))
    # In order, so that the first problems are the first.
    results = stream(image_units(images.files, _BATCH), prepare=task, in_order=True)
    found = Found()
    for part in watched(results, job, len(images.files), closes=False):
        found.add(part)
    if not found.num_labels and found.counts[NO_LABEL] == len(images.files):
        del found.counts[NO_LABEL]  # without one label the split is unlabeled, which is no fault
    return found


def look_at(unit: ImageUnit, *, codes: LabelCodes, num_classes: int) -> Found:
    """Task: open the images and labels of a unit."""
    found = Found(num_images=len(unit.files))
    for file in unit.files:
        size, stored = None, Stored(1, (0, 0))
        try:
            encoded = read_encoded(file.path)
            height, width, _ = decode_image(encoded).shape
            size, stored = (width, height), stored_in(encoded)
            found.sizes[size] += 1
            found.turned["images"] += stored.turns
        except BadImageError as error:
            found.problem(BAD_IMAGE, f"{file.name}: {error}")
        if file.label is not None:
            label = _read_label(file, file.label, codes, found)
            if label is not None:
                _look_at_label(file, label, size, stored, found)
                _count_pixels(file, label, codes, num_classes, found)
        if file.annotation is not None or file.boxes is not None:
            _look_at_boxes(file, stored, found)
    return found


def _look_at_boxes(file: ImageFile, stored: Stored, found: Found) -> None:
    try:
        num_boxes = len(read_boxes(file, stored=stored))
    except AmbiguousLabelError as error:
        found.problem(EITHER_WAY, str(error))
        return
    except UserError as error:
        found.problem(BAD_BOXES, f"{file.name}: {error}")
        return
    found.num_annotated += 1
    found.num_boxes += num_boxes
    if not num_boxes:
        found.problem(NO_OBJECT, file.name)


def _read_label(
    file: ImageFile, location: str, codes: LabelCodes, found: Found
) -> np.ndarray | None:
    """Values of a label file, int32 [H, W]: codes, or classes where it is a mask."""
    try:
        return read_label(location, "mask" if codes == "mask" else None)
    except UserError as error:
        missing = isinstance(error.__cause__, FileNotFoundError)
        reason = str(error).replace(location, without_secrets(location))
        found.problem(NO_LABEL if missing else BAD_LABEL, f"{file.name}: {reason}")
        return None


def _look_at_label(
    file: ImageFile, label: np.ndarray, size: tuple[int, int] | None, stored: Stored, found: Found
) -> None:
    """Count a label, and how it lies on its image of ``size`` = (width, height)."""
    found.num_labels += 1
    height, width = label.shape
    try:
        if stored.turns:
            on_stored = drawn_as_stored(file, (height, width), stored, what="label")
            found.turned["stored" if on_stored else "upright"] += 1
            if on_stored and stored.sideways:
                height, width = width, height
    except AmbiguousLabelError as error:
        found.problem(EITHER_WAY, str(error))
    if size not in (None, (width, height)):
        sizes = "{}x{}, its image {}x{}".format(width, height, *size)
        found.problem(OTHER_SIZE, f"{file.name}: the label is {sizes}")


def _count_pixels(
    file: ImageFile, label: np.ndarray, codes: LabelCodes, num_classes: int, found: Found
) -> None:
    values = None if codes == "mask" else codes  # a mask was read as classes
    pixels = pixels_of_classes(label, values, num_classes)
    found.pixels.update(pixels)
    if None in pixels:
        known = len(values or ()) or num_classes or IGNORE
        ignored = "" if values else f" and {IGNORE}"
        found.problem(
            NO_CLASS,
            f"{file.name}: {pixels[None]} pixels hold no class (values {label.min()} to "
            f"{label.max()}, known are 0 to {known - 1}{ignored})",
        )


def pixels_of_classes(
    label: np.ndarray, codes: tuple[int, ...] | None, num_classes: int
) -> Counter[int | None]:
    """Pixels of each class, of IGNORE, and of no class (None) in a label file, int32 [H, W].

    Args:
        label: its values.
        codes: of the data set, as in ``ImageSet``.
        num_classes: C, or 0 where the data set names none: then all below IGNORE are classes.
    """
    outside = _LARGEST + 1
    valid = np.where((label < 0) | (label > _LARGEST), outside, label)
    times = np.bincount(valid.ravel())
    pixels: Counter[int | None] = Counter()
    for value in np.flatnonzero(times).tolist():
        known = codes is None or value < len(codes)
        index = (value if codes is None else codes[value]) if known else None
        if index is None or not (index == IGNORE or 0 <= index < (num_classes or IGNORE)):
            index = None
        pixels[index] += int(times[value])
    return pixels
