"""What a data set holds, looked at on Ray before hours are spent: ``raynef data check``."""

import logging
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from raynef.cluster.session import ray_session
from raynef.config.recipe import Data
from raynef.core import IGNORE
from raynef.core.errors import UserError, require
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.registry import open_split
from raynef.io.storage import without_secrets
from raynef.jobs.look import BAD_IMAGE, LABEL_FAULTS, LISTED, NO_OBJECT, Found, look
from raynef.work.units import most_skipped

logger = logging.getLogger("raynef")

NOT_OPEN = "split that cannot be opened"
ABSENT = "class that never occurs"
IN_BOTH = "image in both train and val"
_TURNED = {"images": "turned by EXIF", "stored": "  labels to turn", "upright": "  labels as shown"}


@dataclass(frozen=True)
class Problem:
    """A kind of problem of a split (None: of both), how often, whether it stops work, the first."""

    kind: str
    split: str | None
    count: int
    stops: bool
    first: list[str]


def check_data(data: Data, *, address: str | None = None) -> dict[str, Any]:
    """Say what a data set holds; the result of ``raynef data check``.

    Nothing stops at the first problem: all are counted, the first twenty of a kind named.

    Returns:
        ``splits``: by role (train, val), or by its own name where one split has both roles; sizes
        are [width, height], ``turned`` how many images EXIF turns and how their labels lie,
        ``classes`` shares of the labeled pixels. ``problems``: first those that stop training or
        evaluation. ``ok``: whether none does.

    Raises:
        UserError: no such data set, or neither of its splits can be opened.
    """
    started = time.monotonic()
    require(
        0 <= data.max_bad_fraction <= 1, "data.max_bad_fraction", "in [0, 1]", data.max_bad_fraction
    )
    opened, closed = _open(data)
    found: dict[str, Found] = {}
    with ray_session(address, images=sum(len(split.files) for split in opened.values())):
        for role, images in opened.items():
            twin = next((r for r in found if opened[r].files == images.files), None)
            found[role] = found[twin] if twin else look(images, job=f"check {role}")
    splits = {role: _summary(opened[role], found[role]) for role in opened}
    problems = _problems(data, opened, closed, found)
    result = {
        "data": data.name,
        "root": without_secrets(next(iter(opened.values())).root),
        "ok": not any(problem.stops for problem in problems),
        "splits": splits,
        "problems": [asdict(problem) for problem in problems],
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
    shapes, times = np.array(list(sizes)), np.array(list(sizes.values()))
    total = sizes.total()
    places = {"min": 0, "median": (total - 1) // 2, "max": total - 1}
    found: dict[str, list[int]] = {name: [] for name in places}
    for side in shapes.T:
        order = side.argsort()
        ends = times[order].cumsum()
        for name, place in places.items():
            found[name].append(int(side[order][np.searchsorted(ends, place, side="right")]))
    return found


def _problems(
    data: Data, opened: dict[str, ImageSet], closed: dict[str, str], found: dict[str, Found]
) -> list[Problem]:
    """All problems, those that stop training or evaluation first."""
    problems: list[Problem] = []

    # Without labels or boxes there is nothing to evaluate, and no val split to miss.
    labeled = any(part.num_labels or part.num_annotated for part in found.values())
    for role, reason in closed.items():
        problems.append(Problem(NOT_OPEN, role, 1, role == "train" or labeled, [reason]))
    for role, part in found.items():
        bad = part.counts[BAD_IMAGE]
        many = bad > most_skipped(data, part.num_images) or bad == part.num_images
        stops = {BAD_IMAGE: many, **dict.fromkeys(LABEL_FAULTS, True), NO_OBJECT: False}
        problems += [
            Problem(kind, role, part.counts[kind], stop, part.first[kind])
            for kind, stop in stops.items()
            if part.counts[kind]
        ]
        absent = [name for i, name in _names(opened[role], part) if not part.pixels[i]]
        if part.num_labels and absent:
            problems.append(Problem(ABSENT, role, len(absent), False, absent[:LISTED]))
    if len(opened) == 2:
        train = {file.name for file in opened["train"].files}
        both = [file.name for file in opened["val"].files if file.name in train]
        if both:
            problems.append(Problem(IN_BOTH, None, len(both), False, both[:LISTED]))
    return sorted(problems, key=lambda problem: not problem.stops)


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
