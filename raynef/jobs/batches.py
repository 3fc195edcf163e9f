"""Where a train worker's slices come from: a feature store, or feature actors of its own.

Both yield, for each global batch of an epoch, the part that this worker holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from raynef.cluster.session import feature_actors
from raynef.cluster.stream import stream
from raynef.config.recipe import Recipe
from raynef.core.collectives import Collectives
from raynef.core.errors import UserError
from raynef.features.extract import Features
from raynef.images.datasets.imageset import ImageSet
from raynef.models.training import global_batches, slice_of
from raynef.stores.features import FeatureStore
from raynef.work.ahead import one_ahead
from raynef.work.reading import make_views
from raynef.work.units import ImageUnit, describe_skipped
from raynef.work.views import FeatureActor, view_side


@dataclass(frozen=True)
class Slice:
    """A worker's part of one global batch: features of its ``images`` (indices) in a view.

    ``reference``: those in view 0, where the goal is told of them; else None.
    """

    epoch: int
    view: int
    images: list[int]
    features: Features
    reference: Features | None = None


def usable_batch_size(recipe: Recipe, num_images: int) -> int:
    """Images in a global batch: the recipe's, or all there are where that is fewer."""
    return min(recipe.train.batch_size, num_images)


def plan(recipe: Recipe, images: list[int], epoch: int) -> list[np.ndarray]:
    """The global batches of an epoch."""
    size = usable_batch_size(recipe, len(images))
    return global_batches(images, batch_size=size, seed=recipe.train.seed, epoch=epoch)


def _own_images(
    recipe: Recipe, images: list[int], first_step: int, collectives: Collectives
) -> Iterator[tuple[int, list[int]]]:
    """(epoch, this worker's images) of every step from ``first_step`` on."""
    steps = len(plan(recipe, images, 0))  # the same in each epoch
    for epoch in range(first_step // steps, recipe.train.epochs):
        for batch in plan(recipe, images, epoch)[max(0, first_step - epoch * steps) :]:
            own = slice_of(batch, rank=collectives.rank, world_size=collectives.world_size)
            yield epoch, own.tolist()


@dataclass(frozen=True)
class StoredViews:
    """Slices read from a store in ``folder``, the next one while the last is worked on."""

    folder: Path

    def slices(
        self,
        recipe: Recipe,
        collectives: Collectives,
        first_step: int,
        device: torch.device | None = None,
    ) -> Iterator[Slice]:
        """Every slice of this worker from ``first_step`` on, in order, for ψ on a device."""
        store = FeatureStore(self.folder)
        on_gpu = device is not None and device.type == "cuda"

        # Only shifted views show the same patches.
        refers = recipe.eigen.objective == "clusterings" and recipe.data.views == "shifted"

        def read(epoch: int, images: list[int]) -> Slice:
            view = epoch % store.num_views
            features = store.read(images, view=view)
            reference = store.read(images, view=0) if refers and view else None
            if on_gpu:
                features, reference = features.pinned(), reference and reference.pinned()
            return Slice(epoch, view, images, features, reference)

        own = _own_images(recipe, store.images(), first_step, collectives)
        yield from one_ahead(partial(read, epoch, images) for epoch, images in own)


@dataclass(frozen=True)
class StreamedViews:
    """Slices straight from feature actors, new views each epoch of the ``usable`` images.

    Each worker runs its own Ray Data pipeline over its own slices, in order, so that the
    composition of global batches is that of stored mode. A unit is a slice.
    """

    images: ImageSet
    usable: list[int]

    def slices(
        self,
        recipe: Recipe,
        collectives: Collectives,
        first_step: int,
        device: torch.device | None = None,
    ) -> Iterator[Slice]:
        """As of ``StoredViews``.

        Raises:
            UserError: a file that could be read before training cannot be read any more.
        """
        actors = feature_actors(workers=collectives.world_size)
        results = stream(
            [
                ImageUnit(own, tuple(self.images.files[index] for index in own), view=epoch)
                for epoch, own in _own_images(recipe, self.usable, first_step, collectives)
            ],
            prepare=partial(make_views, data=recipe.data, side=view_side(recipe)),
            actor=FeatureActor,
            actor_kwargs={
                "config": recipe.backbone,
                "precision": actors.precision(recipe.backbone.precision),
            },
            actors=actors,
            in_order=True,
        )
        for found in results:
            if found.skipped:
                raise UserError(f"since training started: {describe_skipped(found.skipped)}")
            view = found.unit.view
            yield Slice(view, view, found.kept, found.features)
