"""A data set as a declaration: where its files lie, its splits, and what its labels mean.

Nothing here opens an image or a label, and nothing asks for a single file: one listing of each
folder tells it all, which holds for a million files and for an object store.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageFile, ImageSet, LabelCodes
from raynef.io.storage import absolute, is_folder, join, list_files, read_lines, without_secrets

Kind = Literal["label", "mask", "annotation"]
OURS: tuple[str, ...] = ("", "train", "val", "trainval")
"""Names by which a data set's one split goes, and none."""


@dataclass(frozen=True)
class Files:
    """Files of one kind: those below a folder whose names end in ``ending`` (of either case).

    ``or_ending`` are further endings, for data sets that are found in several formats.
    """

    folder: str
    ending: str
    or_ending: tuple[str, ...] = ()

    def within(self, root: str, split: str) -> "Files":
        """The same files below a root, with a split's name for ``{split}`` in the folder."""
        return replace(self, folder=join(root, self.folder.format(split=split)))

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


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A data set in folders below its root, ``{split}`` in whose names stands for a split's.

    Attributes:
        name: as in ``data.name``.
        holds: a folder that only the root of the data set has in it.
        below: folders within the user's root that may be the data set's.
        splits: official names; empty where each list in ``lists`` is a split.
        aliases: {our name of a split: the official one}, where the two differ.
        one_split: where there is but one split, it goes by all our names of splits, and by none.
        images: every image, or those that the lists name.
        labels: files of the images' stems; None where the data set has none.
        labels_of: {split: folder} for the splits whose labels lie elsewhere than ``labels``.
        kind: what ``labels`` are; boxes are read from annotations of VOC.
        lists: folder of lists, each with a stem a line.
        list_names: in ``lists``, of which the first that is there names a split's images; where
            there is none, a split is all that its folders hold. Empty: ``{split}.txt``.
        class_lists: lists with an underscore in their names are of a class and no split.
        classes: names in label order; empty where there are none.
        codes: as ``ImageSet.label_codes``.
    """

    name: str
    holds: str
    below: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    one_split: bool = False
    images: Files
    labels: Files | None = None
    labels_of: Mapping[str, str] = field(default_factory=dict)
    kind: Kind = "label"
    lists: str = ""
    list_names: tuple[str, ...] = ()
    class_lists: bool = False
    classes: tuple[str, ...] = ()
    codes: LabelCodes = None

    def open(self, root: str, split: str | None) -> ImageSet:
        """One split of the data set.

        Raises:
            UserError: the layout is not there, an unknown split, an empty list, or images and
                labels do not pair up.
        """
        found = find_root(root, self.holds, below=self.below)
        splits, aliases = self.splits or self._listed_splits(found), self.aliases
        if self.one_split and len(splits) == 1:
            aliases = dict.fromkeys(OURS, splits[0])
        official = official_split(self.name, split, splits, aliases=aliases)
        labels = self.labels
        if labels:
            folder = self.labels_of.get(official, labels.folder)
            labels = replace(labels, folder=folder).within(found, official)
        source = self._list_of(found, official)
        files = pair(
            self.images.within(found, official),
            labels,
            listed=read_list(source) if source else None,
            kind=self.kind,
        )
        return ImageSet(found, official, files, self.classes, self.codes, self.name)

    def _listed_splits(self, root: str) -> tuple[str, ...]:
        names = list_files(join(root, self.lists), suffixes=(".txt",))
        kept = (name for name in names if not (self.class_lists and "_" in name))
        return tuple(name.removesuffix(".txt") for name in kept)

    def _list_of(self, root: str, split: str) -> str | None:
        """The list of a split's stems, if it has one."""
        if not self.lists:
            return None
        folder = join(root, self.lists.format(split=split))
        if not self.list_names:
            return join(folder, f"{split}.txt")
        there = set(list_files(folder, suffixes=(".txt",)))
        return next((join(folder, name) for name in self.list_names if name in there), None)


@dataclass(frozen=True)
class Special:
    """A data set that no ``Layout`` describes: its name, and what opens a split of it."""

    name: str
    open: Callable[[str, str | None], ImageSet]


def find_root(root: str, holds: str, *, below: Sequence[str] = ()) -> str:
    """The data set's own folder: ``root`` or one of ``below`` in it, whichever has ``holds`` in it.

    Raises UserError where none has; it names all that were looked at.
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
    name: str, split: str | None, there: Iterable[str], *, aliases: Mapping[str, str]
) -> str:
    """The official name of a split of data set ``name``, as the user says it.

    Raises UserError where it is not among those ``there``; it names these.
    """
    there = sorted(there)
    official = aliases.get(split or "", split)
    if official in there:
        return official
    ours = {alias for alias, theirs in aliases.items() if alias and theirs in there}
    known = sorted(ours.union(there))
    raise UserError(f"{name} has no split {split!r}; there are: {', '.join(known) or 'none'}")


def read_list(location: str) -> list[str]:
    """The lines of a list of images. Raises UserError where it is missing or empty."""
    names = read_lines(location)
    if not names:
        raise UserError(f"{without_secrets(location)} names no image")
    return names


def pair(
    images: Files,
    labels: Files | None,
    *,
    listed: Sequence[str] | None = None,
    kind: Kind = "label",
) -> tuple[ImageFile, ...]:
    """Images with their labels, by stem.

    Without one label in its folder (or without ``labels``), the images are unlabeled: labels are
    not needed to train. Some labels but not all is a broken copy, and an error.

    ``listed`` are the stems of the split, in the order to keep; by default all that there are.

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
    files = []
    for stem in stems:
        mark = join(labels.folder, label_names[stem]) if labels and label_names else None
        label, annotation = (None, mark) if kind == "annotation" else (mark, None)
        path = join(images.folder, image_names[stem])
        files.append(ImageFile(image_names[stem], path, label, annotation))
    return tuple(files)
