"""What a data set holds, looked at on Ray before hours are spent: ``raynef data check``.

Tasks open every image, label and annotation once. What they return are sums and the first few names
of each kind of problem: the driver's memory does not grow with the number of images.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from raynef.cluster.progress import Progress
from raynef.cluster.session import ray_session
from raynef.cluster.stream import Unit, stream
from raynef.config.recipe import Data
from raynef.core import IGNORE
from raynef.core.errors import BadImageError, UserError, require
from raynef.images.datasets.boxes import read_boxes
from raynef.images.datasets.imageset import ImageFile, ImageSet
from raynef.images.datasets.registry import open_split
from raynef.images.decode import Stored, decode_image, read_encoded, read_label, stored_in
from raynef.images.oriented import AmbiguousLabelError, drawn_as_stored
from raynef.io.storage import without_secrets

logger = logging.getLogger("raynef")

_BATCH = 32  # images of a unit
_LISTED = 20  # of each kind of problem, by name
_LARGEST = 65_535  # value of a label file, of 16 bits

NOT_OPEN = "split that cannot be opened"
BAD_IMAGE = "unreadable image"
NO_LABEL = "missing label"
BAD_LABEL = "unreadable label"
OTHER_SIZE = "label of another size than its image"
EITHER_WAY = "label or boxes of an image turned by EXIF that may lie either way"
NO_CLASS = "label with values that are no class"
BAD_BOXES = "unreadable annotation"
NO_OBJECT = "image without an object"
ABSENT = "class that never occurs"
IN_BOTH = "image in both train and val"
_TURNED = {
    "images": "turned by EXIF",
    "stored": "  labels to turn",
    "upright": "  labels as shown",
}
_LABEL_FAULTS = (NO_LABEL, BAD_LABEL, OTHER_SIZE, EITHER_WAY, NO_CLASS, BAD_BOXES)


@dataclass
class Found:
    """What some images of a split hold; two of them add up.

    Attributes:
        num_images: looked at.
        num_labels: label files among them that could be read.
        num_annotated: images whose boxes could be read, be it none.
        num_boxes: in those.
        sizes: {(width, height): images}, as they are shown.
        turned: {"images": those that EXIF turns, "stored": labels drawn on their stored pixels,
            which turn with them, "upright": labels drawn on them as shown}.
        pixels: {class, or IGNORE: pixels}; None counts the pixels that are of no class.
        counts: {kind of problem: how many}.
        first: {kind of problem: the first of them, by name}.
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

    def problem(self, kind: str, words: str) -> None:
        """One more of a kind."""
        self.problems(kind, 1, [words])

    def problems(self, kind: str, count: int, first: Iterable[str]) -> None:
        """More of a kind, of which the first are named."""
        self.counts[kind] += count
        listed = self.first.setdefault(kind, [])
        listed += list(first)[: _LISTED - len(listed)]

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
            self.problems(kind, count, other.first[kind])


def check_data(data: Data, *, address: str | None = None) -> dict[str, Any]:
    """Say what a data set holds; the result of ``raynef data check``.

    Nothing stops at the first problem: all are counted, the first twenty of a kind named.

    Returns:
        ``splits``: by role (train, val), or by its own name where one split has both roles,
        images, labels, sizes as [width, height], how many images EXIF turns and how the labels of
        these lie, pixel shares of the classes among labeled
        pixels, the share of ignored pixels, and boxes, also per annotated image; ``problems``:
        kind, split, count, the first, and whether they stop training or evaluation; ``ok``:
        whether none does.

    Raises:
        UserError: no such data set, or neither of its splits can be opened.
    """
    started = time.monotonic()
    require(
        0 <= data.max_bad_fraction <= 1, "data.max_bad_fraction", "in [0, 1]", data.max_bad_fraction
    )
    opened, closed = _open(data)
    found: dict[str, Found] = {}
    with ray_session(address):
        for role, images in opened.items():
            twin = next((r for r in found if opened[r].files == images.files), None)
            found[role] = found[twin] if twin else look(images, job=f"check {role}")
    splits = {role: _summary(opened[role], found[role]) for role in opened}
    problems = _problems(data, opened, closed, found)
    result = {
        "data": data.name,
        "root": without_secrets(next(iter(opened.values())).root),
        "ok": not any(problem["stops"] for problem in problems),
        "splits": splits,
        "problems": problems,
        "seconds": round(time.monotonic() - started, 2),
    }
    logger.info("%s", describe(result))
    return result


def _open(data: Data) -> tuple[dict[str, ImageSet], dict[str, str]]:
    """The splits that open, and why the others do not, by role."""
    opened: dict[str, ImageSet] = {}
    closed: dict[str, str] = {}
    for role, split in (("train", data.train_split), ("val", data.val_split)):
        try:
            opened[role] = open_split(data, split)
        except UserError as error:
            closed[role] = str(error)
    if not opened:
        raise UserError(". ".join(dict.fromkeys(closed.values())))
    if len(opened) == 2 and data.train_split != data.val_split:
        name = opened["train"].split
        if name is not None and name == opened["val"].split:
            opened = {name: opened["train"]}  # all that the data set has, under both names
    return opened, closed


def look(images: ImageSet, *, job: str) -> Found:
    """Open every image and label of a split. Needs a running Ray."""
    units: list[Unit] = [
        {
            "files": images.files[start : start + _BATCH],
            "codes": images.label_codes,
            "num_classes": len(images.class_names),
        }
        for start in range(0, len(images.files), _BATCH)
    ]
    found = Found()
    progress = Progress(job, len(images.files), "images")
    for part in stream(units, prepare=look_at, in_order=True):  # the first problems are the first
        found.add(part)
        progress.advance(part.num_images)
    if not found.num_labels and found.counts[NO_LABEL] == len(images.files):
        del found.counts[NO_LABEL]  # without one label the split is unlabeled, which is no fault
    return found


def look_at(unit: Unit) -> Found:
    """Task: open the images and labels of a unit."""
    found = Found(num_images=len(unit["files"]))
    for file in unit["files"]:
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
            _look_at_label(file, file.label, size, stored, unit, found)
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


def _look_at_label(
    file: ImageFile,
    location: str,
    size: tuple[int, int] | None,
    stored: Stored,
    unit: Unit,
    found: Found,
) -> None:
    codes, as_mask = unit["codes"], None
    if codes == "mask":  # which is read as classes, not as values that have codes
        codes, as_mask = None, "mask"
    try:
        label = read_label(location, as_mask)
    except UserError as error:
        missing = isinstance(error.__cause__, FileNotFoundError)
        reason = str(error).replace(location, without_secrets(location))
        found.problem(NO_LABEL if missing else BAD_LABEL, f"{file.name}: {reason}")
        return
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
    pixels = _classes(label, codes, unit["num_classes"])
    found.pixels.update(pixels)
    if None in pixels:
        known = len(codes or ()) or unit["num_classes"] or IGNORE
        ignored = "" if codes else f" and {IGNORE}"
        found.problem(
            NO_CLASS,
            f"{file.name}: {pixels[None]} pixels hold no class (values {label.min()} to "
            f"{label.max()}, known are 0 to {known - 1}{ignored})",
        )


def _classes(
    label: np.ndarray, codes: tuple[int, ...] | None, num_classes: int
) -> Counter[int | None]:
    """Pixels of each class, of IGNORE, and of no class (None).

    Args:
        label: values of the file, int32 [H, W].
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


def _summary(images: ImageSet, found: Found) -> dict[str, Any]:
    """A split in plain values."""
    labeled = sum(n for index, n in found.pixels.items() if index not in (None, IGNORE))
    ignored = found.pixels[IGNORE]
    return {
        "split": images.split,
        "num_images": len(images.files),
        "num_labels": found.num_labels,
        "sizes": _sizes(found.sizes),
        "turned": {key: found.turned[key] for key in ("images", "stored", "upright")},
        "classes": {
            name: round(found.pixels[index] / labeled, 6) if labeled else None
            for index, name in _names(images, found)
        },
        "ignored": round(ignored / (labeled + ignored), 6) if labeled + ignored else None,
        "num_boxes": found.num_boxes,
        "boxes_per_image": (
            round(found.num_boxes / found.num_annotated, 2) if found.num_annotated else None
        ),
    }


def _names(images: ImageSet, found: Found) -> list[tuple[int, str]]:
    """The classes in order; where the data set names none, those that occur."""
    if images.class_names:
        return list(enumerate(images.class_names))
    return [(i, str(i)) for i in sorted(k for k in found.pixels if k not in (None, IGNORE))]


def _sizes(sizes: Counter[tuple[int, int]]) -> dict[str, list[int]] | None:
    """Least, median and largest of widths and, on their own, of heights; None without an image."""
    if not sizes:
        return None
    wide, high = (
        sorted(Counter(size[side] for size in sizes.elements()).items()) for side in (0, 1)
    )
    total = sum(sizes.values())

    def at(position: int) -> list[int]:
        return [_nth(wide, position), _nth(high, position)]

    return {"min": at(0), "median": at((total - 1) // 2), "max": at(total - 1)}


def _nth(counted: list[tuple[int, int]], position: int) -> int:
    """The value at a position of a sorted sequence that is given by how often each occurs."""
    for value, times in counted:
        position -= times
        if position < 0:
            return value
    raise IndexError(position)


def _problems(
    data: Data, opened: dict[str, ImageSet], closed: dict[str, str], found: dict[str, Found]
) -> list[dict[str, Any]]:
    """All problems, those that stop training or evaluation first."""
    problems = []

    def add(kind: str, split: str | None, count: int, first: list[str], *, stops: bool) -> None:
        problems.append(
            {"kind": kind, "split": split, "count": count, "stops": stops, "first": first}
        )

    # Without labels or boxes there is nothing to evaluate, and no val split to miss.
    labeled = any(part.num_labels or part.num_annotated for part in found.values())
    for role, reason in closed.items():
        add(NOT_OPEN, role, 1, [reason], stops=role == "train" or labeled)
    for role, part in found.items():
        # As extraction has it, in jobs/extract.check_skipped.
        allowed = max(1, math.floor(data.max_bad_fraction * part.num_images))
        bad = part.counts[BAD_IMAGE]
        if bad:
            stops = bad > allowed or bad == part.num_images
            add(BAD_IMAGE, role, bad, part.first[BAD_IMAGE], stops=stops)
        for kind in _LABEL_FAULTS:
            if part.counts[kind]:
                add(kind, role, part.counts[kind], part.first[kind], stops=True)
        if part.counts[NO_OBJECT]:
            add(NO_OBJECT, role, part.counts[NO_OBJECT], part.first[NO_OBJECT], stops=False)
        absent = [name for i, name in _names(opened[role], part) if not part.pixels[i]]
        if part.num_labels and absent:
            add(ABSENT, role, len(absent), absent[:_LISTED], stops=False)
    if len(opened) == 2:
        train = {file.name for file in opened["train"].files}
        both = [file.name for file in opened["val"].files if file.name in train]
        if both:
            add(IN_BOTH, None, len(both), both[:_LISTED], stops=False)
    return sorted(problems, key=lambda problem: not problem["stops"])


def describe(result: dict[str, Any]) -> str:
    """The result of a check as a table for the eye."""
    splits = result["splits"]
    rows = [
        ("", list(splits)),
        ("images", [str(s["num_images"]) for s in splits.values()]),
        ("labels", [str(s["num_labels"]) for s in splits.values()]),
    ]
    for which in ("min", "median", "max"):
        cells = ["{}x{}".format(*s["sizes"][which]) if s["sizes"] else "–" for s in splits.values()]
        rows.append((f"size, {which}", cells))
    if any(split["turned"]["images"] for split in splits.values()):
        for key, title in _TURNED.items():
            rows.append((title, [str(split["turned"][key]) for split in splits.values()]))
    if any(split["num_labels"] for split in splits.values()):
        rows.append(("ignored", [_percent(split["ignored"]) for split in splits.values()]))
        for name in dict.fromkeys(name for split in splits.values() for name in split["classes"]):
            shares = [_percent(split["classes"].get(name)) for split in splits.values()]
            rows.append((f"  {name}", shares))
    if any(split["boxes_per_image"] is not None for split in splits.values()):
        rows.append(("boxes", [str(split["num_boxes"]) for split in splits.values()]))
        means = [split["boxes_per_image"] for split in splits.values()]
        rows.append(("  per image", ["–" if mean is None else str(mean) for mean in means]))
    title = max(len(name) for name, _ in rows)
    lines = [f"{result['data']} in {result['root']}"]
    lines += [f"{name:<{title}}" + "".join(f"  {cell:>10}" for cell in row) for name, row in rows]
    for problem in result["problems"]:
        lines.append(_heading(problem))
        lines += [f"    {words}" for words in problem["first"]]
        if problem["count"] > len(problem["first"]):
            lines.append(f"    … and {problem['count'] - len(problem['first'])} more")
    if not result["problems"]:
        lines.append("no problem")
    return "\n".join(line.rstrip() for line in lines)


def _heading(problem: dict[str, Any]) -> str:
    where = f"{problem['split']}: " if problem["split"] else ""
    times = f" ({problem['count']} times)" if problem["count"] > 1 else ""
    return f"{'PROBLEM' if problem['stops'] else 'note'}  {where}{problem['kind']}{times}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"
