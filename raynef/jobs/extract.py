"""Extraction on Ray: files to feature shards, resumed where it was interrupted."""

import logging
import math
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from raynef.cluster.progress import Progress
from raynef.cluster.session import feature_actors, in_this_process, ray_session
from raynef.cluster.stream import Unit, stream
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.config.recipe import Data, Recipe, check
from raynef.core.errors import BadImageError, UserError
from raynef.features.backbone import NUM_TAPS, Backbone, load_backbone
from raynef.features.extract import Features, extract_features
from raynef.features.precision import Precision
from raynef.images.augment import View, augment
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image
from raynef.images.geometry import resize_bicubic
from raynef.io.holds import GLANCE_S, LOCK
from raynef.io.state import state_in
from raynef.io.storage import without_secrets
from raynef.jobs.precision import precision_for, with_precision
from raynef.stores.features import (
    MANIFEST,
    FeatureStore,
    Shard,
    StoreProgress,
    read_manifest,
    reopen,
    store_key,
    write_shard,
)
from raynef.stores.keys import require_same_key
from raynef.stores.verify import find_faults

logger = logging.getLogger("raynef")

_SHARD_BYTES = 32 << 20  # about what one shard holds; a unit of work, lost whole by a kill
_LISTED = 20  # bad files that an error lists by name


def make_views(unit: Unit) -> Unit:
    """Task: read, decode and augment the images of a unit; a bad file becomes a named reason.

    Adds ``pixels`` uint8 [n, side, side, 3], ``extents`` [n, 2], ``kept`` (positions in
    ``images``) and ``skipped`` {name: reason}; ``side`` is that of the unit.
    """
    data: Data = unit["data"]
    views, kept, skipped = [], [], {}
    for position, index in enumerate(unit["images"]):
        try:
            image = read_image(unit["paths"][position])
        except BadImageError as error:
            skipped[unit["names"][position]] = str(error)
            continue
        view = augment(image, data, seed=unit["seed"], view=unit["view"], index=index)
        views.append(resized_view(view, unit["side"]))
        kept.append(position)
    pixels = np.zeros((0, unit["side"], unit["side"], 3), np.uint8)
    return {
        **unit,
        "pixels": np.stack([view.pixels for view in views]) if views else pixels,
        "extents": np.array([view.extent for view in views], dtype=np.int64).reshape(-1, 2),
        "kept": kept,
        "skipped": skipped,
    }


def resized_view(view: View, side: int) -> View:
    """A view at the side that the backbone takes, bicubic; what was padding stays padding.

    The padding repeats the image's edge, so that none of it shows in the resized image; a row or
    column that is in part padding counts as padding.
    """
    crop = len(view.pixels)
    if side == crop:
        return view
    height, width = (max(1, length * side // crop) for length in view.extent)
    return View(resize_bicubic(view.pixels, (side, side)), (height, width))


class FeatureActor:
    """Actor: one frozen backbone; turns the pixels of a unit into features.

    Args:
        config: of the backbone.
        device: to compute on.
        precision: to compute in; that of the device if None.
    """

    def __init__(
        self, config: BackboneConfig, device: str, precision: Precision | None = None
    ) -> None:
        self.backbone = load_backbone(config).to(device)
        self.batch_size = config.batch_size
        self.precision: Precision | None = precision

    def __call__(self, unit: Unit) -> Unit:
        """Replaces ``pixels`` and ``extents`` by ``features`` (on the CPU, half precision)."""
        pixels, extents = unit.pop("pixels"), unit.pop("extents")
        parts = [
            extract_features(
                self.backbone,
                pixels[start : start + self.batch_size],
                extents[start : start + self.batch_size],
                precision=self.precision,
            )
            for start in range(0, len(pixels), self.batch_size)
        ]
        unit["features"] = _on_cpu(parts) if parts else None
        return unit


def _on_cpu(parts: list[Features]) -> Features:
    return Features(
        taps=torch.cat([part.taps.half().cpu() for part in parts]),
        thumbnails=torch.cat([part.thumbnails.half().cpu() for part in parts]),
        valid=torch.cat([part.valid.cpu() for part in parts]),
    )


def finish_shard(unit: Unit) -> tuple[Shard | None, dict[str, str], int]:
    """Task: write the shard of a unit. Returns it, what was skipped, and images done."""
    kept = [unit["images"][position] for position in unit["kept"]]
    shard = None
    if kept:
        shard = write_shard(
            Path(unit["folder"]),
            file=unit["file"],
            view=unit["view"],
            images=kept,
            features=unit["features"],
        )
    return shard, unit["skipped"], len(unit["images"])


def ensure_store(recipe: Recipe, images: ImageSet, folder: str | Path) -> FeatureStore:
    """The finished store of a recipe in ``folder``: found, or made, or finished.

    Needs a running Ray where anything is to be made.

    Raises:
        UserError: the folder holds features of another recipe, another run is making them, or more
            files are bad than ``data.max_bad_fraction`` allows.
    """
    folder = Path(folder)
    precision = precision_for(folder)

    def fill(journal: StoreProgress) -> None:
        fill_shards(
            _units(recipe, images, folder),
            journal,
            what="features",
            data=recipe.data,
            num_images=len(images.files),
            run=partial(
                stream,
                prepare=make_views,
                actor=FeatureActor,
                actor_kwargs={"config": recipe.backbone, "precision": precision},
                actors=feature_actors(),
                finish=finish_shard,
            ),
        )

    made = ensure_shards(folder, with_precision(store_key(recipe, images), precision), fill)
    store = FeatureStore(folder)
    if not made:
        logger.info("features: reusing %s (%d images)", folder, len(store.images()))
    return not_empty(store, images)


def ensure_shards(folder: Path, key: dict[str, Any], fill: Callable[[StoreProgress], None]) -> bool:
    """A finished folder of shards with this key: found, or made by ``fill``. Whether it was made.

    Of a finished one, shards that are missing, truncated or changed (see ``verify``) are named and
    recomputed, they alone; a damaged manifest likewise.

    Raises:
        UserError: the folder holds another key, or another run is making it. A trial of a sweep
            waits instead: it takes nothing that the other one needs.
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
                fill(StoreProgress(folder, key))
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


def not_empty(store: FeatureStore, images: ImageSet) -> FeatureStore:
    """The store. Raises UserError where not one image could be read."""
    if not store.images():
        raise UserError(f"not one image under {without_secrets(images.root)} could be read")
    return store


def fill_shards(
    units: list[Unit],
    journal: StoreProgress,
    *,
    what: str,
    data: Data,
    num_images: int,
    run: Callable[[list[Unit]], Iterable[tuple[Shard | None, dict[str, str], int]]],
) -> None:
    """Make the shards that the journal lacks, and the manifest.

    Args:
        units: one for each shard, whose name is in ``file``.
        journal: of the folder.
        what: is made, for the line of progress.
        data: says how many files may be bad.
        num_images: of the data set.
        run: yields for each unit its shard, what was skipped, and images done.

    Raises:
        UserError: more files are bad than ``data.max_bad_fraction`` allows.
    """
    todo = [
        unit
        for unit in units
        if unit["file"] not in journal.shards
        and not journal.adopt(unit["file"], view=unit.get("view", 0), images=unit["images"])
    ]
    done = len(units) - len(todo)
    if done:
        logger.info("%s: going on, %d of %d shards are there", what, done, len(units))
    check_skipped(data, journal.skipped, num_images)
    with state_in(journal.folder):
        num_todo = sum(len(unit["images"]) for unit in todo)
        progress = Progress(what, num_todo, "images", {"shards": len(units)})
    for shard, skipped, count in run(todo):
        journal.add(shard, skipped)
        check_skipped(data, journal.skipped, num_images)
        progress.advance(count)
    progress.close()
    journal.complete()
    if journal.skipped:
        logger.warning("%s: %s", what, describe_skipped(journal.skipped))


def view_side(recipe: Recipe) -> int:
    """Side of a training view as the backbone sees it, in pixels."""
    return recipe.backbone.input_size or recipe.data.crop


def fitting_backbone(recipe: Recipe) -> Backbone:
    """The recipe's backbone. Raises UserError where its patches do not divide a view."""
    return fitting(load_backbone(recipe.backbone), recipe)


def fitting(backbone: Backbone, recipe: Recipe) -> Backbone:
    """The backbone. Raises UserError where its patches do not divide a view."""
    side, patch = view_side(recipe), backbone.patch_size
    below = side // patch * patch
    if side != below:
        near = " or ".join(str(size) for size in (below, below + patch) if size)
        resized = recipe.backbone.input_size is not None
        advice = "" if resized else ", or give such a size to backbone.input_size to resize crops"
        raise UserError(
            f"{'backbone.input_size' if resized else 'data.crop'} must be a multiple of the patch "
            f"size {patch} of {backbone.name}, got {side}; nearest: {near}{advice}"
        )
    return backbone


def _units(recipe: Recipe, images: ImageSet, folder: Path) -> list[Unit]:
    """One unit for each shard, the same whenever the same recipe asks."""
    per_shard = images_per_shard(recipe)
    units: list[Unit] = []
    for view in range(recipe.data.num_views):
        for start in range(0, len(images.files), per_shard):
            indices = list(range(start, min(start + per_shard, len(images.files))))
            units.append(
                {
                    **image_unit(recipe, images, indices),
                    "view": view,
                    "file": f"shard-{len(units):06d}.parquet",
                    "folder": str(folder.absolute()),
                }
            )
    return units


def image_unit(recipe: Recipe, images: ImageSet, indices: list[int]) -> Unit:
    """What ``make_views`` needs of some images."""
    return {
        "images": indices,
        "paths": [images.files[index].path for index in indices],
        "names": [images.files[index].name for index in indices],
        "data": recipe.data,
        "side": view_side(recipe),
        "seed": recipe.data.view_seed,
    }


def images_per_shard(recipe: Recipe) -> int:
    """Images that make a shard of about ``_SHARD_BYTES``, had the patch 16 pixels and D 384."""
    patches = (view_side(recipe) / 16) ** 2
    return int(max(4, min(64, _SHARD_BYTES // (patches * 384 * NUM_TAPS * 2))))


def check_skipped(data: Data, skipped: dict[str, str], num_images: int) -> None:
    """Raise UserError with the list when more files are bad than the recipe allows."""
    allowed = max(1, math.floor(data.max_bad_fraction * num_images))
    if len(skipped) > allowed:
        raise UserError(
            f"{len(skipped)} of {num_images} images cannot be used, more than "
            f"data.max_bad_fraction = {data.max_bad_fraction} allows ({allowed}): "
            f"{describe_skipped(skipped)}"
        )


def describe_skipped(skipped: dict[str, str]) -> str:
    """The skipped files by name and reason, the first twenty of them."""
    shown = [f"{name}: {reason}" for name, reason in sorted(skipped.items())[:_LISTED]]
    more = f" … and {len(skipped) - _LISTED} more" if len(skipped) > _LISTED else ""
    return f"skipped {len(skipped)} file(s): " + "; ".join(shown) + more


def scan(data: Data, images: ImageSet) -> tuple[list[int], dict[str, str]]:
    """Decode every file once: the images that can be used, and the others with their reasons.

    Raises:
        UserError: more files are bad than ``data.max_bad_fraction`` allows, or all are.
    """
    units: list[Unit] = [
        {"files": [(i, images.files[i]) for i in range(start, min(start + 64, len(images.files)))]}
        for start in range(0, len(images.files), 64)
    ]
    bad: dict[int, str] = {}
    progress = Progress("scan", len(images.files), "images")
    for num_images, found in stream(units, prepare=find_bad):
        bad.update(found)
        progress.advance(num_images)
    skipped = {images.files[index].name: reason for index, reason in bad.items()}
    check_skipped(data, skipped, len(images.files))
    usable = [index for index in range(len(images.files)) if index not in bad]
    if not usable:
        raise UserError(f"not one image under {without_secrets(images.root)} could be read")
    return usable, skipped


def find_bad(unit: Unit) -> tuple[int, dict[int, str]]:
    """Task: how many files a unit has, and {index: reason} of those that are no usable image."""
    bad = {}
    for index, file in unit["files"]:
        try:
            read_image(file.path)
        except BadImageError as error:
            bad[index] = str(error)
    return len(unit["files"]), bad


def extract_store(
    recipe: Recipe, folder: str | Path, *, address: str | None = None
) -> dict[str, Any]:
    """Make a store and say what is in it: the result of ``raynef extract``."""
    started = time.monotonic()
    check(recipe)
    images = open_split(recipe.data, recipe.data.train_split)
    fitting_backbone(recipe)
    with ray_session(address):
        store = ensure_store(recipe, images, folder)
    return {
        "store": os.path.abspath(folder),
        "num_images": len(store.images()),
        "num_views": store.num_views,
        "skipped": store.skipped,
        "seconds": round(time.monotonic() - started, 2),
    }
