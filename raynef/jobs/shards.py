"""Stores of shards as they are made: found, made, or finished where a kill left them."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from raynef.cluster.place import in_this_process
from raynef.cluster.progress import Progress
from raynef.config.recipe import Data
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageSet
from raynef.io.holds import GLANCE_S, LOCK
from raynef.io.state import state_in
from raynef.io.storage import without_secrets
from raynef.stores.journal import MANIFEST
from raynef.stores.keys import require_same_key
from raynef.stores.progress import StoreProgress, reopen
from raynef.stores.shards import ShardStore, read_manifest
from raynef.stores.verify import Shard, find_faults
from raynef.work.units import ImageUnit, check_skipped, describe_skipped, image_units

logger = logging.getLogger("raynef")

Store = TypeVar("Store", bound=ShardStore)


@dataclass(frozen=True, kw_only=True)
class ShardUnit(ImageUnit):
    """The images of one shard, and where it goes."""

    folder: Path
    file: str


@dataclass(frozen=True)
class ShardMade:
    """The result of a unit: its shard, or None where not one image could be read."""

    shard: Shard | None
    skipped: dict[str, str]
    num_images: int


@dataclass(frozen=True)
class ShardWork:
    """How the shards of a store are made.

    Attributes:
        what: they hold, for the line of progress.
        data: says how many files may be bad.
        units: one for each shard, the same whenever the same recipe asks.
        run: makes the shards of some units.
    """

    what: str
    data: Data
    images: ImageSet
    units: list[ShardUnit]
    run: Callable[[list[ShardUnit]], Iterable[ShardMade]]


def shard_units(
    images: ImageSet, folder: Path, per_shard: int, *, num_views: int = 1
) -> list[ShardUnit]:
    """A unit, and so a shard, for every few images of every view."""
    parts = product(range(num_views), image_units(images.files, per_shard))
    return [
        ShardUnit(
            unit.images,
            unit.files,
            view,
            folder=folder.absolute(),
            file=f"shard-{number:06d}.parquet",
        )
        for number, (view, unit) in enumerate(parts)
    ]


def ensure_shards(folder: Path, key: dict[str, Any], work: ShardWork) -> bool:
    """A finished folder of shards with this key: found, or made. Whether it was made.

    Of a finished one, shards that are missing, truncated or changed (see ``verify``) are named and
    recomputed, they alone; a damaged manifest likewise.

    Raises:
        UserError: the folder holds another key, more files are bad than ``data.max_bad_fraction``
            allows, or another run is making it. A trial of a sweep waits instead: it takes nothing
            that the other one needs.
    """
    if _is_sound(folder, key):  # a finished store changes no more: no lock to read it
        return False
    patience = -1 if in_this_process() else GLANCE_S
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK).acquire(timeout=patience):
            if not _is_sound(folder, key):
                if (folder / MANIFEST).is_file():
                    reopen(folder, key)
                fill_shards(work, StoreProgress(folder, key))
                return True
    except Timeout as error:
        raise UserError(f"another run is making the feature store {folder}; wait for it") from error
    return False


def _is_sound(folder: Path, key: dict[str, Any]) -> bool:
    """Whether a store is finished and undamaged. Raises UserError where it has another key."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        manifest = read_manifest(folder)
    except UserError:  # damaged; what can be done about it is said under the lock
        return False
    require_same_key(folder, manifest.key, key)
    return not find_faults(folder, manifest.shards)


def fill_shards(work: ShardWork, journal: StoreProgress) -> None:
    """Make the shards that the journal lacks, and the manifest. Raises as ``ensure_shards``."""
    todo = [
        unit
        for unit in work.units
        if unit.file not in journal.shards
        and not journal.adopt(unit.file, view=unit.view, images=list(unit.images))
    ]
    done, num_images = len(work.units) - len(todo), len(work.images.files)
    if done:
        logger.info("%s: going on, %d of %d shards are there", work.what, done, len(work.units))
    check_skipped(work.data, journal.skipped, num_images)
    with state_in(journal.folder):
        num_todo = sum(len(unit.images) for unit in todo)
        progress = Progress(work.what, num_todo, "images", {"shards": len(work.units)})
    for made in work.run(todo):
        journal.add(made.shard, made.skipped)
        check_skipped(work.data, journal.skipped, num_images)
        progress.advance(made.num_images)
    progress.close()
    journal.complete()
    if journal.skipped:
        logger.warning("%s: %s", work.what, describe_skipped(journal.skipped))


def opened(store: Store, images: ImageSet, *, made: bool) -> Store:
    """A store of features, said to be used again unless it was made.

    Raises UserError where not one image could be read.
    """
    if not made:
        logger.info("features: reusing %s (%d images)", store.folder, len(store.images()))
    require_some(images, store.images())
    return store


def require_some(images: ImageSet, usable: Sequence[int]) -> None:
    """Raise UserError where not one image could be read."""
    if not usable:
        raise UserError(f"not one image under {without_secrets(images.root)} could be read")
