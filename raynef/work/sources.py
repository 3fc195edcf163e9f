"""The images that prediction is asked for, and the names of what is made of them."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from raynef.core.errors import UserError
from raynef.images import video
from raynef.images.datasets.folder import open_folder
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import IMAGE_SUFFIXES
from raynef.io.files import within
from raynef.io.storage import (
    is_address,
    is_file,
    is_folder,
    join,
    list_files,
    local_path,
    name_of,
    without_secrets,
)


def require_apart(source: str, out: str | Path) -> None:
    """Raise UserError where a folder of images and that of the results lie within one another.

    Results would count as images the next time. An image alone may lie anywhere.
    """
    out = str(out)
    if is_address(out) and local_path(out) is None:
        lies = _lies_at(source, out)
    else:
        lies = _lies_here(source, out)
    if lies:
        raise UserError(
            f"--out {without_secrets(out)} {lies} the folder of images {without_secrets(source)}, "
            "whose images the results would become; give a folder beside it"
        )


def _lies_at(source: str, out: str) -> str | None:
    """How addresses lie to one another, by their text."""
    images, results = (without_secrets(location).rstrip("/") for location in (source, out))
    if not is_address(source) or is_file(source):
        return None
    if images == results:
        return "is"
    if results.startswith(images + "/"):
        return "lies in"
    return "holds" if images.startswith(results + "/") else None


def _lies_here(source: str, out: str) -> str | None:
    folder, here = local_path(source), local_path(out)
    if folder is None or here is None or not os.path.isdir(folder):
        return None
    images, results = os.path.realpath(folder), os.path.realpath(here)
    common = os.path.commonpath([images, results])
    if common not in (images, results):
        return None
    return "is" if images == results else "lies in" if common == images else "holds"


def image_files(source: str) -> tuple[ImageFile, ...]:
    """The images of a folder, or the one image. Raises UserError where it is neither."""
    if is_file(source):
        return (ImageFile(name=name_of(source), path=source),)
    if not is_folder(source):
        raise UserError(f"{without_secrets(source)} is neither an image nor a folder")
    return open_folder(source, None).files


@dataclass(frozen=True)
class Sources:
    """What a folder holds, or the one file."""

    images: tuple[ImageFile, ...]
    videos: tuple[ImageFile, ...]


def sources_of(source: str) -> Sources:
    """Images and videos; either may be none. Raises UserError as ``image_files``."""
    suffixes = tuple(video.SUFFIXES)
    if is_file(source):
        files = image_files(source)
        return (
            Sources((), files) if files[0].name.lower().endswith(suffixes) else Sources(files, ())
        )
    base = join(source, "images")
    base = base if is_folder(base) else source
    names = list_files(base, suffixes=suffixes, follow_links=False)
    videos = tuple(ImageFile(name, join(base, name)) for name in names)
    if videos and not list_files(base, suffixes=IMAGE_SUFFIXES, follow_links=False):
        return Sources((), videos)
    return Sources(image_files(source), videos)


def output_names(files: tuple[ImageFile, ...]) -> list[str]:
    """``a/b.jpg`` becomes ``a/b.png``, or ``a/b.jpg.png`` where two images share a stem.

    Raises UserError: an image whose name would lead out of a folder of outputs.
    """
    for file in files:
        within(Path("the output folder"), file.name)
    stems = [Path(file.name).with_suffix(".png").as_posix() for file in files]
    times = Counter(stems)
    names = [
        stem if times[stem] == 1 else f"{file.name}.png"
        for stem, file in zip(stems, files, strict=True)
    ]
    if len(set(names)) < len(names):  # as with b.jpg, b.png and b.jpg.png
        return [f"{file.name}.png" for file in files]
    return names
