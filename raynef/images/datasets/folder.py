"""The ``folder`` data set: any tree of images, or images/, labels/, splits and classes.txt."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageFile, ImageSet
from raynef.images.datasets.layout import Special, read_list
from raynef.images.decode import IMAGE_SUFFIXES
from raynef.io.storage import (
    absolute,
    is_file,
    is_folder,
    join,
    list_files,
    read_text,
    without_secrets,
)


def open_folder(root: str | Path, split: str | None) -> ImageSet:
    """Open a split of a folder of images.

    With an ``images/`` folder inside, its images are the data set, ``{split}.txt`` lists the stems
    of a split (where no split has a list, every image is in every split), ``labels/`` holds PNGs
    of the same stem and ``classes.txt`` a name a line. Any other folder is a tree of images
    without labels.

    Args:
        root: a path, or an address that Arrow opens.
        split: its name; None for every image.

    Raises:
        UserError: no such folder, no image in it, a split without a list beside others that have
            one, a name in the list without an image, or a split that leads out of the root.
    """
    if split and (PurePosixPath(split).is_absolute() or ".." in PurePosixPath(split).parts):
        raise UserError(f"split {split!r} leads out of data.root")
    if not is_folder(absolute(root)):
        raise UserError(f"data.root {without_secrets(str(root))!r} is not a folder")
    root = absolute(root)
    laid_out = is_folder(join(root, "images"))
    base = join(root, "images") if laid_out else root
    found = _images_below(base)
    list_file = join(root, f"{split}.txt") if split and laid_out else None
    if list_file and is_file(list_file):
        found = _listed(found, base, list_file)
    else:
        if list_file and (others := _lists(root)):
            raise UserError(f"{without_secrets(root)} has no {split}.txt, but {others}")
        split = None
    labels = join(root, "labels") if laid_out and is_folder(join(root, "labels")) else None
    files = []
    for name in found:
        label = join(labels, f"{_stem(name)}.png") if labels else None
        files.append(ImageFile(name, join(base, name), label))
    return ImageSet(root, split, tuple(files), _class_names(join(root, "classes.txt")))


DATA_SETS = (Special("folder", open_folder),)


def _images_below(base: str) -> list[str]:
    """Names of the images below, in a fixed order. Raises UserError where there is none."""
    # Folders that are links were never followed, and feature stores depend on the list.
    names = list_files(base, suffixes=sorted(IMAGE_SUFFIXES), follow_links=False)
    if not names:
        raise UserError(
            f"no image under {without_secrets(base)} "
            f"(looked for {', '.join(sorted(IMAGE_SUFFIXES))})"
        )
    return names


def _lists(root: str) -> str:
    """The lists that a folder has, in words."""
    names = list_files(root, recursive=False)
    return ", ".join(name for name in names if name.endswith(".txt") and name != "classes.txt")


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _listed(found: Sequence[str], base: str, list_file: str) -> list[str]:
    """The images that a list names, in its order."""
    by_name: dict[str, str] = {}
    for image in found:
        by_name.setdefault(_stem(image), image)
        by_name[image] = image
    names = read_list(list_file)
    missing = [name for name in names if name not in by_name]
    if missing:
        raise UserError(
            f"{without_secrets(list_file)} names {len(missing)} of {len(names)} images that are "
            f"not in {without_secrets(base)}; the first is {missing[0]!r}"
        )
    return [by_name[name] for name in names]


def _class_names(location: str) -> tuple[str, ...]:
    if not is_file(location):
        return ()
    names = read_text(location).rstrip().splitlines()
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise UserError(
                f"{without_secrets(location)} has no name in line {number}; "
                "line n names class n - 1"
            )
    return tuple(name.strip() for name in names)
