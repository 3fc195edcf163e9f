"""What the benchmark layouts share: where the data set lies, which split, and images with labels.

Nothing here opens an image or a label, and nothing asks for a single file: one listing of each
folder tells it all, which holds for a million files and for an object store.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageFile
from raynef.io.storage import absolute, is_folder, join, list_files


@dataclass(frozen=True)
class Files:
    """Files of one kind: those below a folder whose names end in ``ending`` (of either case).

    ``or_ending`` are further endings, for data sets that are found in several formats.
    """

    folder: str
    ending: str
    or_ending: tuple[str, ...] = ()

    def by_stem(self) -> dict[str, str]:
        """{name without the ending: name}, sorted by name; empty where there is no folder.

        Raises UserError: a stem with two endings, which leaves open which file is meant.
        """
        endings = [ending.lower() for ending in (self.ending, *self.or_ending)]
        found: dict[str, str] = {}
        for name in list_files(self.folder, suffixes=endings):
            ending = next(ending for ending in endings if name.lower().endswith(ending))
            stem = name[: -len(ending)]
            if stem in found:
                raise UserError(f"{self.folder} holds both {found[stem]} and {name}; keep one")
            found[stem] = name
        return found

    def __str__(self) -> str:
        return ", ".join(f"*{ending}" for ending in (self.ending, *self.or_ending))


def find_root(root: str, holds: str, *, below: Sequence[str] = ()) -> str:
    """The data set's own folder: ``root`` or one of ``below`` in it, whichever has ``holds`` in it.

    Raises:
        UserError: none has; names all that were looked at.
    """
    places = [absolute(root), *(join(absolute(root), inner) for inner in below)]
    for place in places:
        if is_folder(join(place, holds)):
            return place
    raise UserError(
        f"data.root {root!r} does not hold the data set: there is no folder "
        + " or ".join(join(place, holds) for place in places)
    )


def official_split(
    name: str, split: str | None, there: Iterable[str], *, aliases: Mapping[str, str] | None = None
) -> str:
    """The official name of a split.

    Args:
        name: of the data set, for the error.
        split: as the user says it.
        there: official names.
        aliases: {a name of ours: the official one}, where the two differ.

    Raises:
        UserError: no such split; names those there are.
    """
    there, aliases = sorted(there), aliases or {}
    official = aliases.get(split or "", split)
    if official in there:
        return official
    ours = {alias for alias, theirs in aliases.items() if alias and theirs in there}
    known = sorted(ours.union(there))
    raise UserError(f"{name} has no split {split!r}; there are: {', '.join(known) or 'none'}")


def only_split(name: str, split: str | None, official: str) -> str:
    """The official name of a data set's one split, which goes by our names of splits and by none.

    Raises UserError: another split.
    """
    ours = ("", "train", "val", "trainval")
    return official_split(name, split, (official,), aliases=dict.fromkeys(ours, official))


def pair(
    images: Files,
    labels: Files | None,
    *,
    listed: Sequence[str] | None = None,
    kind: str = "label",
) -> tuple[ImageFile, ...]:
    """Images with their labels, by stem.

    Without one label in its folder (or without ``labels``), the images are unlabeled: labels are
    not needed to train. Some labels but not all is a broken copy, and an error.

    Args:
        images: where the images are.
        labels: where the labels are; None where the data set has none.
        listed: stems of the split, in the order to keep; None where the split is all that there is.
        kind: what the labels are called, for the error.

    Raises:
        UserError: no image at all, listed images that are not there, images without a label, or
            (with no list) labels without an image: how many, and the first of each.
    """
    image_names = images.by_stem()
    label_names = labels.by_stem() if labels else {}
    if not image_names:
        raise UserError(f"no image in {images.folder} (looked for {images})")
    stems = list(image_names) if listed is None else listed
    faults = []
    gone = [stem for stem in stems if stem not in image_names]
    if gone:
        faults.append(
            f"{len(gone)} of {len(stems)} listed images are not in {images.folder}; "
            f"the first is {gone[0]}{images.ending}"
        )
    if labels and label_names:
        missing = [stem for stem in stems if stem not in label_names]
        if missing:
            faults.append(
                f"{len(missing)} of {len(stems)} images have no {kind} in {labels.folder}; "
                f"the first is {missing[0]}{labels.ending}"
            )
        surplus = [stem for stem in label_names if stem not in image_names]
        if surplus and listed is None:
            faults.append(
                f"{len(surplus)} of {len(label_names)} {kind}s have no image in {images.folder}; "
                f"the first is {label_names[surplus[0]]}"
            )
    if faults:
        raise UserError(f"images and {kind}s do not pair up: " + ". ".join(faults))
    return tuple(
        ImageFile(
            name=image_names[stem],
            path=join(images.folder, image_names[stem]),
            label=join(labels.folder, label_names[stem]) if labels and label_names else None,
        )
        for stem in stems
    )
