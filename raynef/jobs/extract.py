"""Extraction on Ray: files to feature shards, resumed where it was interrupted."""

import os
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from raynef.cluster.session import feature_actors, ray_session
from raynef.cluster.stream import stream
from raynef.config.recipe import Data, Recipe, check
from raynef.features.backbone import NUM_TAPS
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.registry import open_split
from raynef.jobs.shards import (
    ShardMade,
    ShardUnit,
    ShardWork,
    ensure_shards,
    opened,
    require_some,
    shard_units,
)
from raynef.stores.features import FeatureStore, store_key, write_shard
from raynef.stores.precision import precision_for, with_precision
from raynef.work.reading import find_bad, make_all_views
from raynef.work.units import check_skipped, chunks, image_units, watched
from raynef.work.views import FeatureActor, ViewFeatures, fitting_backbone, view_side

MOST_VIEWS = 8  # of an image that are made at once, and so held by one task
_SHARD_BYTES = 32 << 20  # about what one shard holds; a unit of work, lost whole by a kill


def extract_store(
    recipe: Recipe, folder: str | Path, *, address: str | None = None
) -> dict[str, Any]:
    """Make a store and say what is in it: the result of ``raynef extract``."""
    started = time.monotonic()
    check(recipe)
    images = open_split(recipe.data, recipe.data.train_split)
    fitting_backbone(recipe)
    with ray_session(address, images=len(images.files), network_bound=True, on_gpu=True):
        store = ensure_store(recipe, images, folder)
    return {
        "store": os.path.abspath(folder),
        "num_images": len(store.images()),
        "num_views": store.num_views,
        "skipped": store.skipped,
        "seconds": round(time.monotonic() - started, 2),
    }


def ensure_store(recipe: Recipe, images: ImageSet, folder: str | Path) -> FeatureStore:
    """The finished store of a recipe in ``folder``: found, or made, or finished.

    Needs a running Ray where anything is to be made. Raises UserError as ``ensure_shards``.
    """
    folder = Path(folder)
    precision = precision_for(folder, recipe.backbone.precision)

    def run(units: list[ShardUnit]) -> Iterator[ShardMade]:
        return stream(
            list(of_the_same_images(units)),
            prepare=partial(make_all_views, data=recipe.data, side=view_side(recipe)),
            actor=FeatureActor,
            actor_kwargs={"config": recipe.backbone, "precision": precision},
            actors=feature_actors(),
            finish=partial(finish_shard, bits=recipe.data.stored_bits),
            in_parts=True,
            finish_behind=True,
        )

    num_views = recipe.data.num_views
    units = shard_units(images, folder, images_per_shard(recipe), num_views=num_views)
    key = with_precision(store_key(recipe, images), precision)
    made = ensure_shards(folder, key, ShardWork("features", recipe.data, images, units, run))
    return opened(FeatureStore(folder), images, made=made)


def of_the_same_images(units: Sequence[ShardUnit]) -> Iterator[Sequence[ShardUnit]]:
    """Units that hold the same images in other views, a few together: they are decoded once."""
    together: dict[tuple[int, ...], list[ShardUnit]] = {}
    for unit in units:
        together.setdefault(tuple(unit.images), []).append(unit)
    for those in together.values():
        yield from chunks(those, MOST_VIEWS)


def views_together(num_views: int, *, streamed: bool) -> int:
    """Views of an image that share one decoding, where each image has so many in all."""
    return 1 if streamed else min(num_views, MOST_VIEWS)


def finish_shard(found: ViewFeatures[ShardUnit], *, bits: int) -> ShardMade:
    """Task: write the shard of a unit, with numbers of so many bits."""
    unit, shard = found.unit, None
    if found.features is not None:
        shard = write_shard(
            unit.folder,
            file=unit.file,
            view=unit.view,
            images=found.kept,
            features=found.features,
            bits=bits,
        )
    return ShardMade(shard, found.skipped, len(unit.images))


def images_per_shard(recipe: Recipe) -> int:
    """Images that make a shard of about ``_SHARD_BYTES``, had the patch 16 pixels and D 384."""
    patches = (view_side(recipe) / 16) ** 2
    return int(max(4, min(64, _SHARD_BYTES // (patches * 384 * NUM_TAPS * 2))))


def scan(data: Data, images: ImageSet) -> tuple[list[int], dict[str, str]]:
    """Decode every file once: the images that can be used, and the others with their reasons.

    Raises:
        UserError: more files are bad than ``data.max_bad_fraction`` allows, or all are.
    """
    skipped: dict[str, str] = {}
    results = stream(image_units(images.files, 64), prepare=find_bad)
    for found in watched(results, "scan", len(images.files), closes=False):
        skipped.update(found.skipped)
    check_skipped(data, skipped, len(images.files))
    usable = [index for index, file in enumerate(images.files) if file.name not in skipped]
    require_some(images, usable)
    return usable, skipped
