"""One split of a data set, as every loader makes it."""

from dataclasses import dataclass
from typing import Literal

from raynef.core.errors import UserError
from raynef.images.decode import LabelCodes as LabelCodes
from raynef.io.storage import file_sizes, without_secrets


@dataclass(frozen=True)
class ImageFile:
    """One image of a data set, and what people marked in it, if anything.

    Locations are paths or addresses, as ``raynef.io.storage`` reads them.

    Attributes:
        name: within the root.
        path: its location.
        label: location of its label file: the class of each pixel.
        annotation: location of the VOC annotation that holds its boxes.
        boxes: its boxes where one file holds those of all images; ``read_boxes`` reads both kinds.
        boxes_size: (H, W) of what ``boxes`` were drawn on, where their file says it.
        label_orientation: as ``data.label_orientation``, for label, annotation and boxes alike.
    """

    name: str
    path: str
    label: str | None = None
    annotation: str | None = None
    boxes: tuple[tuple[float, float, float, float], ...] | None = None
    boxes_size: tuple[int, int] | None = None
    label_orientation: Literal["auto", "stored", "upright"] = "auto"


@dataclass(frozen=True)
class ImageSet:
    """One split of a data set, in a fixed order.

    Attributes:
        root: its location.
        split: the split's name, or None for a plain tree.
        files: the images; an image's index in this tuple seeds its random draws.
        class_names: in label order, empty where the data set names none.
        label_codes: what the values of a label file mean; a value beyond the end is an error that
            names the file.
        name: of the data set, as in ``data.name``.
    """

    root: str
    split: str | None
    files: tuple[ImageFile, ...]
    class_names: tuple[str, ...] = ()
    label_codes: LabelCodes = None
    name: str = "folder"


def require_labels(images: ImageSet) -> None:
    """Raise UserError unless every image of the set has its label file."""
    named = [file.label for file in images.files if file.label]
    sizes = zip(named, file_sizes(named), strict=True)
    there = {label for label, size in sizes if size is not None}
    missing = [file for file in images.files if file.label not in there]
    if missing:
        first = missing[0]
        if images.name == "folder":
            none, needs = "a labels/ folder", "images/, labels/ and classes.txt"
        else:
            none, needs = "the label files as released", f"the labels of {images.name}"
        looked_for = without_secrets(first.label) if first.label else none
        raise UserError(
            f"{len(missing)} of {len(images.files)} images under {without_secrets(images.root)} "
            f"have no label; the first is {first.name} (looked for {looked_for}). evaluate needs "
            f"{needs}; predict needs no labels"
        )
