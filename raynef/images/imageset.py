"""One split of a data set, as every loader makes it."""

from dataclasses import dataclass

from raynef.core.errors import UserError
from raynef.core.storage import file_sizes, without_secrets


@dataclass(frozen=True)
class ImageFile:
    """One image of a data set: its name within the root, its location, its label's if any.

    Locations are paths or addresses, as ``raynef.core.storage`` reads them.
    """

    name: str
    path: str
    label: str | None = None


@dataclass(frozen=True)
class ImageSet:
    """One split of a data set, in a fixed order.

    Attributes:
        root: its location.
        split: the split's name, or None for a plain tree.
        files: the images; an image's index in this tuple seeds its random draws.
        class_names: in label order, empty where the data set names none.
        label_codes: class (or IGNORE) of each value of a label file; None where the values are the
            classes. A value beyond the end is an error that names the file.
        name: of the data set, as in ``data.name``.
    """

    root: str
    split: str | None
    files: tuple[ImageFile, ...]
    class_names: tuple[str, ...] = ()
    label_codes: tuple[int, ...] | None = None
    name: str = "folder"


def require_labels(images: ImageSet) -> None:
    """Raise UserError unless every image of the set has its label file."""
    named = [file.label for file in images.files if file.label]
    there = {
        label for label, size in zip(named, file_sizes(named), strict=True) if size is not None
    }
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
