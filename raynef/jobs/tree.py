"""The tree over a segmenter's clusters, from the stored features of training images."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from raynef.assign.sums import sums_of_groups
from raynef.assign.tree import ClusterTree, agglomerate
from raynef.cluster.session import feature_actors
from raynef.cluster.stream import stream
from raynef.features.precision import uses_bfloat16
from raynef.models.saved import load_head
from raynef.stores.features import FeatureStore
from raynef.work.patches import Patches, read_features
from raynef.work.units import ImageUnit, chunks, watched

MAX_IMAGES = 4096
"""That the tree is made of, spread evenly: more change no merge that matters."""

_IMAGES = 16  # of a unit


@dataclass(frozen=True)
class Neighborhoods:
    """What some images say of K clusters; the parts of several add up.

    Attributes:
        sums: of the features of each cluster's patches, float64 [K, D].
        sizes: patches of each, int64 [K].
        touches: pairs of patches side by side or one above the other, by the clusters of both,
            symmetric int64 [K, K].
    """

    num_images: int
    sums: np.ndarray
    sizes: np.ndarray
    touches: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """Of each cluster at unit length, [K, D]; 0 of an empty one."""
        lengths = np.linalg.norm(self.sums, axis=1, keepdims=True)
        return self.sums / np.maximum(lengths, 1e-12)

    def __add__(self, other: "Neighborhoods") -> "Neighborhoods":
        return Neighborhoods(
            self.num_images + other.num_images,
            self.sums + other.sums,
            self.sizes + other.sizes,
            self.touches + other.touches,
        )


def tree_of(segmenter: str | Path, store: FeatureStore, *, precision: str) -> ClusterTree:
    """The tree over the clusters of a segmenter; arguments as of ``neighborhoods_of``."""
    seen = neighborhoods_of(segmenter, store, precision=precision)
    return agglomerate(seen.means, seen.sizes, seen.touches)


def neighborhoods_of(
    segmenter: str | Path, store: FeatureStore, *, precision: str
) -> Neighborhoods:
    """What the training images say of a segmenter's clusters. Needs a running Ray.

    Args:
        segmenter: its folder.
        store: features of its training views; of each image the first is read.
        precision: of the products before its head, as ``train.precision``.
    """
    images = store.images()
    images = images[:: -(-len(images) // MAX_IMAGES)]
    dim = store.read(images[:1], view=0).taps.shape[-1]
    parts = _walk(Path(segmenter).absolute(), store, images, precision, dim)
    total = next(parts)
    for part in parts:
        total = total + part
    return total


def _walk(
    segmenter: Path, store: FeatureStore, images: list[int], precision: str, dim: int
) -> Iterator[Neighborhoods]:
    results = stream(
        [ImageUnit(part) for part in chunks(images, _IMAGES)],
        prepare=partial(read_features, store=str(store.folder), labels=None),
        actor=TreeActor,
        actor_kwargs={"segmenter": str(segmenter), "dim": dim, "precision": precision},
        actors=feature_actors(),
        in_order=True,
        bounded=True,
    )
    return watched(results, "tree", len(images), "views")


class TreeActor:
    """Actor: the head of a segmenter, and which clusters lie where."""

    def __init__(self, segmenter: str, dim: int, precision: str, device: str) -> None:
        self.head = load_head(segmenter, dim=dim, device=device)
        self.half = uses_bfloat16(precision, torch.device(device))

    @torch.inference_mode()
    def __call__(self, patches: Patches) -> Neighborhoods:
        valid = patches.features.valid  # [B, h, w]
        device = self.head.head.weight.device
        taps = patches.features.taps.to(device).float()
        grid = (valid.shape[1], valid.shape[2])
        with torch.autocast(device.type, torch.bfloat16, enabled=self.half):
            features = self.head.features(taps, valid.flatten(1).to(device), grid).float()
        clusters = self.head.head(features).argmax(dim=-1).view(valid.shape).cpu().numpy()
        num_clusters = self.head.head.out_features
        return neighborhoods(features.cpu().numpy(), clusters, valid.numpy(), num_clusters)


def neighborhoods(
    features: np.ndarray, clusters: np.ndarray, valid: np.ndarray, num_clusters: int
) -> Neighborhoods:
    """Of images: features float [B, h·w, D], clusters int and valid bool [B, h, w]."""
    kept = clusters[valid]
    sums = sums_of_groups(features[valid.reshape(len(valid), -1)], kept, num_clusters)
    touches = np.zeros((num_clusters, num_clusters), dtype=np.int64)
    below, beside = (slice(1, None), slice(None)), (slice(None), slice(1, None))
    above, before = (slice(None, -1), slice(None)), (slice(None), slice(None, -1))
    for one, other in ((below, above), (beside, before)):
        both = valid[:, *one] & valid[:, *other]
        np.add.at(touches, (clusters[:, *one][both], clusters[:, *other][both]), 1)
    sizes = np.bincount(kept, minlength=num_clusters)
    return Neighborhoods(len(clusters), sums, sizes, touches + touches.T)
