"""Patch features of the stored training views, streamed: a sample of them, or sums over all.

A task reads the features of some images and makes rows or sums of them; where ψ's trunk comes
between, an actor does. The driver sees sampled rows or sums, never all features.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from raynef.assign.kmeans import Members, members
from raynef.cluster.session import feature_actors
from raynef.cluster.stream import stream
from raynef.config.recipe import Data
from raynef.core.draws import generator, lowest
from raynef.core.errors import UserError
from raynef.eigen.psi import Psi
from raynef.features.extract import Features
from raynef.features.precision import uses_bfloat16
from raynef.graph.cells import pooled
from raynef.models.heads import LinearHead, trunk_of
from raynef.models.segmenter import Segmenter
from raynef.stores.features import FeatureStore
from raynef.work.units import ImageUnit, chunks, watched

if TYPE_CHECKING:
    from raynef.work.labels import PatchLabels

_IMAGES = 16  # of a unit


@dataclass(frozen=True)
class Source:
    """Which features of which views.

    Attributes:
        store: the feature store.
        trunk: folder of a segmenter, whose ψ makes features of the stored ones before its head;
            None for the backbone's last features as they are.
        cosine: features at unit length.
        context: weight of the image's mean beside each patch, as of ``LinearHead``.
        pool: side of the square of patches whose mean takes their place.
        views: of the store that are read, the first so many; all if None.
        precision: of the trunk's products, as ``train.precision``.
    """

    store: FeatureStore
    trunk: Path | None = None
    cosine: bool = False
    context: float = 0.0
    pool: int = 1
    views: int | None = None
    precision: str = "float32"

    @property
    def num_views(self) -> int:
        """Views that are read."""
        return self.views or self.store.num_views

    def load_trunk(self) -> Psi | None:
        """ψ whose features these are, without its head; None for the backbone's own."""
        return trunk_of(load_psi(self.trunk)) if self.trunk else None


def views_of_patches(data: Data) -> int | None:
    """Stored views whose patches are clustered: of shifted ones the image itself, else all (None).

    The others show the same patches, a few pixels beside.
    """
    return 1 if data.views == "shifted" else None


@dataclass(frozen=True)
class Sample:
    """Patches drawn uniformly from the ``num_patches`` valid ones of all training views.

    Features ``rows`` are float32 [M, D]; with labels ``shares`` of the classes, float32 [M, C].
    """

    rows: np.ndarray
    shares: np.ndarray | None
    num_patches: int


@dataclass(frozen=True)
class Patches:
    """What is read of a unit: features, and class shares [B, h·w, C] where labels go along."""

    unit: ImageUnit
    features: Features
    shares: Tensor | None = None


@dataclass(frozen=True)
class Drawn:
    """The sampled patches of a unit, in half precision, with the number that each was drawn by."""

    num_images: int
    num_patches: int
    rows: np.ndarray
    numbers: np.ndarray
    shares: np.ndarray | None


@dataclass(frozen=True)
class Summed:
    """Sums and counts of a unit's patches at their nearest centers."""

    num_images: int
    members: Members


R = TypeVar("R", Drawn, Summed)
Work = Callable[[Tensor, Tensor, Patches], R]
"""Of rows [B, h·w, D], which of them are valid [B, h·w], and what they were made of."""


def sample_patches(
    source: Source, *, max_points: int, seed: int, labels: "PatchLabels | None" = None, job: str
) -> Sample:
    """Draw at most ``max_points`` patches; which ones follows from the seed alone.

    Each patch has a uniform number from (seed, view, image); it is taken where that is below
    ``max_points`` over all patches, padding counted. So a few per cent fewer are drawn where crops
    are padded, and memory has a bound that needs no pass over the store before.
    """
    first = source.store.read(source.store.images()[:1], view=0).valid[0]
    cells = math.prod(-(-side // source.pool) for side in first.shape)
    num_cells = cells * len(source.store.images()) * source.num_views
    work = partial(draw, seed=seed, share=min(1.0, max_points / num_cells))
    parts = list(_results(source, work, job, labels))
    kept = lowest(np.concatenate([part.numbers for part in parts]), max_points)
    shares = [part.shares for part in parts if part.shares is not None]
    return Sample(
        rows=np.concatenate([part.rows for part in parts])[kept].astype(np.float32),
        shares=np.concatenate(shares)[kept] if shares else None,
        num_patches=sum(part.num_patches for part in parts),
    )


def count_members(source: Source, centroids: np.ndarray, *, job: str) -> Members:
    """Sums and counts of every training patch at its nearest center [K, D]."""
    shape = centroids.shape
    total = Members(np.zeros(shape), np.zeros(shape[0], dtype=np.int64), 0.0)
    for part in _results(source, partial(sum_up, centroids=centroids), job):
        total.add(part.members)
    return total


def _results(
    source: Source, work: Work[R], job: str, labels: "PatchLabels | None" = None
) -> Iterator[R]:
    """What ``work`` makes of every unit, in order, so that sums are the same on any pool."""
    images, num_views = source.store.images(), source.num_views
    units = [
        ImageUnit(part, view=view) for view in range(num_views) for part in chunks(images, _IMAGES)
    ]
    read = partial(read_features, store=str(source.store.folder), labels=labels)
    if source.trunk is None:
        plain = LinearHead(1, 1, cosine=source.cosine, context=source.context)
        prepare = partial(read_and_work, read=read, head=plain, work=work, pool=source.pool)
        results = stream(units, prepare=prepare, in_order=True)
    else:
        results = stream(
            units,
            prepare=read,
            actor=PatchActor,
            actor_kwargs={
                "trunk": str(source.trunk),
                "cosine": source.cosine,
                "context": source.context,
                "precision": source.precision,
                "work": work,
                "pool": source.pool,
            },
            actors=feature_actors(),
            in_order=True,
            bounded=True,
        )
    return watched(results, job, len(images) * num_views, "views")


def read_features(unit: ImageUnit, *, store: str, labels: "PatchLabels | None") -> Patches:
    """Task: read the features of a unit, and its labels where there are any to go along."""
    features = FeatureStore(store).read(list(unit.images), view=unit.view)
    return Patches(unit, features, labels and labels.read(unit.images, view=unit.view))


def load_psi(folder: str | Path) -> Psi:
    """ψ of a run or a segmenter, of no use but for its features where K-means is its head.

    Raises UserError where it holds a baseline of the backbone.
    """
    head = Segmenter.load(folder).head
    psi = head.trunk if isinstance(head, LinearHead) else head
    if not isinstance(psi, Psi):
        raise UserError(f"{folder} holds a baseline, not eigenfunctions")
    return psi


def read_and_work(
    unit: ImageUnit,
    *,
    read: Callable[[ImageUnit], Patches],
    head: LinearHead,
    work: Work[R],
    pool: int,
) -> R:
    """Task: all of it, where no ψ comes between."""
    return work_on(read(unit), head, work, pool)


class PatchActor:
    """Actor: ψ's trunk, and what ``work`` makes of its features."""

    def __init__(
        self,
        trunk: str,
        cosine: bool,
        context: float,
        precision: str,
        work: Work,
        pool: int,
        device: str,
    ) -> None:
        self.work, self.pool = work, pool
        psi = trunk_of(load_psi(trunk))
        self.head = LinearHead(1, 1, trunk=psi, cosine=cosine, context=context).to(device)
        self.half = uses_bfloat16(precision, torch.device(device))

    def __call__(self, patches: Patches) -> Drawn | Summed:
        with torch.autocast(self.head.head.weight.device.type, torch.bfloat16, enabled=self.half):
            return work_on(patches, self.head, self.work, self.pool)


@torch.inference_mode()
def work_on(patches: Patches, head: LinearHead, work: Work[R], pool: int = 1) -> R:
    """The work on the features of a unit's valid patches, or on means of ``pool`` × ``pool``."""
    valid = patches.features.valid.flatten(1)
    device = head.head.weight.device
    taps = patches.features.taps.to(device).float()
    height, width = patches.features.valid.shape[1:]
    rows = head.features(taps, valid.to(device), (height, width))
    return work(*pooled(rows.cpu(), valid, (height, width), pool), patches)


def draw(rows: Tensor, valid: Tensor, patches: Patches, *, seed: int, share: float) -> Drawn:
    """The patches whose number from (seed, view, image) is below ``share``."""
    unit, shares = patches.unit, patches.shares
    numbers = np.stack(
        [
            generator("patches", seed, unit.view, image).random(valid.shape[1])
            for image in unit.images
        ]
    )
    chosen = valid & torch.from_numpy(numbers < share)
    return Drawn(
        num_images=len(unit.images),
        num_patches=int(valid.sum()),
        rows=rows[chosen].half().numpy(),
        numbers=numbers[chosen.numpy()],
        shares=None if shares is None else shares[chosen].numpy(),
    )


def sum_up(rows: Tensor, valid: Tensor, patches: Patches, *, centroids: np.ndarray) -> Summed:
    """Sums of all patches at the nearest of the centers [K, D]."""
    return Summed(len(patches.unit.images), members(rows[valid].numpy(), centroids))
