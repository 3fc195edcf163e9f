"""The images that a run is made of, by name and size: what changed since it began.

RUN/images.jsonl     a line an image: [name, bytes], in the order of the split

A run that began before there was such a file is compared by the key of its feature store.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynef.config.recipe import Recipe, fingerprint
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.registry import open_split
from raynef.io.files import write_text
from raynef.io.storage import without_secrets
from raynef.stores.features import Listing, listing
from raynef.stores.journal import MANIFEST
from raynef.stores.keys import differences
from raynef.stores.run import RunFolder, StartedFrom, bind
from raynef.stores.shards import read_manifest

logger = logging.getLogger("raynef")

_NAMED = 3  # of each kind, by name


@dataclass(frozen=True)
class Change:
    """How the images of a split differ from those that a run is made of; names in order.

    ``changed`` have another size; ``otherwise`` in words, where only that or the order is known.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    otherwise: str = ""

    def __str__(self) -> str:
        kinds = {"added": self.added, "removed": self.removed, "changed": self.changed}
        parts = [f"{len(names)} {kind} ({_first(names)})" for kind, names in kinds.items() if names]
        return ", ".join([*parts, self.otherwise] if self.otherwise else parts)

    def plain(self) -> dict[str, Any]:
        """Counts and the first names, for a result."""
        counts = {"added": len(self.added), "removed": len(self.removed)}
        return {**counts, "changed": len(self.changed), "in_words": str(self)}


def _first(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def input_change(run: RunFolder, recipe: Recipe, images: ImageSet) -> Change | None:
    """How the images differ from those that a run is made of; None where they do not, or where
    nothing of its own tells."""
    now = listing(images)
    if not run.images.is_file():
        return _by_store(Path(recipe.train.store or run.store), now)
    then = _read(run.images)
    if then == now:
        return None
    before, after = dict(then), dict(now)
    change = Change(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(n for n, size in after.items() if n in before and before[n] != size),
    )
    return change if str(change) else Change(otherwise="listed in another order")


def training_images(run: RunFolder, recipe: Recipe) -> ImageSet:
    """The images that a run is made of, or is to be; no label is opened.

    Raises UserError that names what differs from those that an unfinished run began with.
    """
    images = open_split(recipe.data, recipe.data.train_split)
    begun = run.record_file.is_file()
    change = input_change(run, recipe, images) if begun else None
    if change is not None:
        raise UserError(
            f"the images under {without_secrets(images.root)} are others than those with which "
            f"{run.path} began: {change}. Its features and checkpoints are of those: restore "
            "them, or give another --out"
        )
    return images


def begin(
    run: RunFolder,
    recipe: Recipe,
    images: ImageSet,
    *,
    kind: str = "ours",
    started_from: StartedFrom | None = None,
) -> None:
    """Bind a run that is held to its recipe (see ``bind``), and write down its images, once."""
    bind(run, recipe, kind=kind, started_from=started_from)
    if not run.images.is_file():
        lines = (json.dumps(item, ensure_ascii=False) + "\n" for item in listing(images))
        write_text(run.images, "".join(lines))


def found_again(run: RunFolder, recipe: Recipe, finished: dict[str, Any]) -> dict[str, Any]:
    """The result of a finished run, with ``input_changed`` where its images are others by now."""
    bind(run, recipe, kind=run.record().kind)
    logger.info("%s is finished; its result:", run.path)
    try:
        images = open_split(recipe.data, recipe.data.train_split)
        change = input_change(run, recipe, images)
    except UserError as error:  # it is finished, whatever became of its images
        logger.warning("its images cannot be compared with those that are there: %s", error)
        return finished
    if change is None:
        return finished
    logger.warning(
        "the images under %s changed since: %s. This is the result of those before; to train on "
        "these, give another --out (and --init-from %s to start from its weights)",
        without_secrets(images.root),
        change,
        run.path,
    )
    return {**finished, "input_changed": change.plain()}


def _read(path: Path) -> Listing:
    """Raises UserError: a damaged file."""
    try:
        with path.open(encoding="utf-8") as lines:
            return [(str(name), size) for name, size in map(json.loads, lines)]
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); delete it") from error


def _by_store(folder: Path, now: Listing) -> Change | None:
    """What the key of a finished store tells: how many images it was made of, not which."""
    if not (folder / MANIFEST).is_file():
        return None
    key = read_manifest(folder).key
    here = {**key, "files": fingerprint(now), "num_images": len(now)}
    return Change(otherwise="; ".join(differences(key, here))) if here != key else None
