"""The ``folder`` data set: any tree of images, or images/, labels/, splits and classes.txt."""

from pathlib import Path

from raynef.core.errors import UserError
from raynef.images.decode import IMAGE_SUFFIXES
from raynef.images.imageset import ImageFile, ImageSet


def open_folder(root: str | Path, split: str | None) -> ImageSet:
    """Open a split of a folder of images.

    With an ``images/`` folder inside, its images are the data set, ``{split}.txt`` lists the stems
    of a split (where no split has a list, every image is in every split), ``labels/`` holds PNGs
    of the same stem and ``classes.txt`` a name a line. Any other folder is a tree of images
    without labels.

    Raises:
        UserError: no such folder, no image in it, a split without a list beside others that have
            one, a name in the list without an image, or a split that leads out of the root.
    """
    root = Path(root)
    if split and (Path(split).is_absolute() or ".." in Path(split).parts):
        raise UserError(f"split {split!r} leads out of data.root")
    if not root.is_dir():
        raise UserError(f"data.root {str(root)!r} is not a folder")
    base = root / "images" if (root / "images").is_dir() else root
    found = _images_below(base)
    if not found:
        raise UserError(f"no image under {base} (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    list_file = root / f"{split}.txt" if split else None
    if list_file is not None and base != root and list_file.is_file():
        found = _listed(found, base, list_file)
    else:
        others = sorted(path.name for path in root.glob("*.txt") if path.name != "classes.txt")
        if split and base != root and others:
            raise UserError(f"{root} has no {split}.txt, but {', '.join(others)}")
        split = None
    labels = root / "labels" if base != root and (root / "labels").is_dir() else None
    files = tuple(
        ImageFile(
            name=path.relative_to(base).as_posix(),
            path=str(path.absolute()),
            label=str((labels / path.relative_to(base).with_suffix(".png")).absolute())
            if labels
            else None,
        )
        for path in found
    )
    return ImageSet(str(root.absolute()), split, files, _class_names(root / "classes.txt"))


def _images_below(base: Path) -> list[Path]:
    """Every file below with an image's suffix, in a fixed order, hidden ones left out."""
    paths = (
        path
        for path in base.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(base).parts)
        and path.is_file()
    )
    return sorted(paths, key=lambda path: path.relative_to(base).as_posix())


def _listed(found: list[Path], base: Path, list_file: Path) -> list[Path]:
    by_name: dict[str, Path] = {}
    for path in found:
        relative = path.relative_to(base)
        by_name.setdefault(relative.with_suffix("").as_posix(), path)
        by_name[relative.as_posix()] = path
    names = [line.strip() for line in list_file.read_text(encoding="utf-8").splitlines()]
    names = [name for name in names if name]
    missing = [name for name in names if name not in by_name]
    if missing:
        raise UserError(
            f"{list_file} names {len(missing)} of {len(names)} images that are not in {base}; "
            f"the first is {missing[0]!r}"
        )
    if not names:
        raise UserError(f"{list_file} names no image")
    return [by_name[name] for name in names]


def _class_names(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    names = path.read_text(encoding="utf-8").rstrip().splitlines()
    for number, name in enumerate(names, start=1):
        if not name.strip():
            raise UserError(f"{path} has no name in line {number}; line n names class n - 1")
    return tuple(name.strip() for name in names)
