"""The eigenpairs of a unit of images: in a task, or in an actor that holds a GPU.

Tasks assemble the affinities, on CPUs: trees, sparse sums. On CPU the same task solves one image
after the other, in float64, and there are as many tasks as cores. A GPU has the products alone:
images of one size are solved together, in float32, refined and measured in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from raynef.config.recipe import Spectral
from raynef.core.affinity import stacked
from raynef.core.devices import beside
from raynef.eigen.spectrum import smallest_eigenpairs
from raynef.graph.affinity import ImageGraph, assembled
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import read_image
from raynef.images.fitted import Fitted, Frame, fit
from raynef.images.geometry import resize
from raynef.jobs.shards import ShardMade, ShardUnit
from raynef.jobs.spectral.features import WholeFeatures
from raynef.jobs.spectral.rows import frames, integers, raw, write_values
from raynef.work.units import Carried, chunks

_TOGETHER = 1 << 28  # entries of dense affinities that are held at once, 1 GiB


@dataclass(frozen=True)
class ImagePairs:
    """The eigenpairs of one image, and where its nodes lie.

    Attributes:
        values: λ, float64 [k], ascending from 0.
        vectors: y, float32 [h, w, k], orthonormal in the D metric; the first is constant.
        residuals: float64 [k].
        frame: how the image was fitted.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    frame: Frame


class Given(NamedTuple):
    """What an image is solved from: its affinity as assembled, and how the image was fitted."""

    graph: ImageGraph
    frame: Frame


def read_unit(
    unit: ShardUnit, *, features: str, spectral: Spectral, stride: int
) -> Carried[ShardUnit, Given]:
    """Task: the affinities of a unit's images."""
    store = WholeFeatures(features)
    given = {}
    for index, file in zip(unit.images, unit.files, strict=True):
        pixels, frame = fitted(file, stride=stride, spectral=spectral)
        given[index] = Given(affinity_of(store.read(index), pixels, frame, spectral), frame)
    return Carried(unit, given)


def affinity_of(
    features: torch.Tensor, pixels: np.ndarray, frame: Frame, spectral: Spectral
) -> ImageGraph:
    """W of an image, from features [h', w', D] and the pixels that they were made of."""
    return assembled(
        features,
        resize(pixels, node_grid(frame, spectral)) / 255.0,
        color_weight=spectral.color_weight,
        neighbors=spectral.color_neighbors,
        space=spectral.color_space,
    )


class EigenActor:
    """Actor: solves the images of a unit on or beside its device, those of one size together."""

    def __init__(self, spectral: Spectral, device: str) -> None:
        self.spectral, self.device = spectral, beside(torch.device(device))
        self.products = torch.float32 if self.device.type == "cuda" else torch.float64

    def __call__(self, read: Carried[ShardUnit, Given]) -> Carried[ShardUnit, ImagePairs]:
        """What is given of each image to its eigenpairs."""
        given = list(read.values.values())
        pairs = solve_together(given, self.spectral, device=self.device, products=self.products)
        return Carried(read.unit, dict(zip(read.values, pairs, strict=True)))


def pair_columns(pairs: list[ImagePairs]) -> dict[str, pa.Array]:
    """Columns of a shard of eigenpairs."""
    return {
        "frame": frames(item.frame for item in pairs),
        "shape": integers(item.vectors.shape for item in pairs),
        "values": pa.array([item.values.tolist() for item in pairs], pa.list_(pa.float64())),
        "residuals": pa.array([item.residuals.tolist() for item in pairs], pa.list_(pa.float64())),
        "vectors": raw(item.vectors for item in pairs),
    }


def solve_unit(unit: ShardUnit, *, features: str, spectral: Spectral, stride: int) -> ShardMade:
    """Task: all of it, on CPU."""
    read = read_unit(unit, features=features, spectral=spectral, stride=stride)
    made = Carried(unit, {i: solved([one], spectral)[0] for i, one in read.values.items()})
    return write_values(made, columns=pair_columns)


def fitted(file: ImageFile, *, stride: int, spectral: Spectral) -> Fitted:
    """An image as its features were made of it, uint8 [H', W', 3], and how it was fitted."""
    return fit(read_image(file.path), stride=stride, max_side=spectral.max_side)


def solve_together(
    given: Sequence[Given],
    spectral: Spectral,
    *,
    device: torch.device | None = None,
    products: torch.dtype = torch.float64,
) -> list[ImagePairs]:
    """Eigenpairs of some images on a device, of those as one whose affinities are of one form and
    size: at most as many as hold ``_TOGETHER`` entries of dense matrices."""
    groups: dict[tuple[int, bool, bool], list[int]] = {}
    for index, (graph, _) in enumerate(given):
        form = (graph.num_nodes, graph.factor is None, graph.dense)
        groups.setdefault(form, []).append(index)
    found: dict[int, ImagePairs] = {}
    for (size, _, dense), members in groups.items():
        most = max(1, _TOGETHER // size**2) if dense else len(members)
        for part in chunks(members, most):
            alike = [given[index] for index in part]
            pairs = solved(alike, spectral, device=device, products=products)
            found.update(zip(part, pairs, strict=True))
    return [found[index] for index in range(len(given))]


def solved(
    given: Sequence[Given],
    spectral: Spectral,
    *,
    device: torch.device | None = None,
    products: torch.dtype = torch.float64,
) -> list[ImagePairs]:
    """Eigenpairs of images of one form and size as one.

    Args:
        device: of the products; the host by default.
        products: their precision; see ``smallest_eigenpairs``.
    """
    affinities = [graph.on(device) for graph, _ in given]
    one = affinities[0] if len(affinities) == 1 else stacked(affinities)
    del affinities
    wanted = spectral.num_eigenvectors + 1
    pairs = smallest_eigenpairs(one, wanted, products=products)
    if len(given) > 1 and pairs.values.shape[1] < wanted:
        # One with few linked nodes has few pairs, and leaves the others no more.
        return [solved([i], spectral, device=device, products=products)[0] for i in given]
    values, residuals = pairs.values.cpu().numpy(), pairs.residuals.cpu().numpy()
    vectors = pairs.vectors.float().cpu().numpy()
    return [
        ImagePairs(
            values=values[place],
            vectors=vectors[place].reshape(*node_grid(frame, spectral), -1),
            residuals=residuals[place],
            frame=frame,
        )
        for place, (_, frame) in enumerate(given)
    ]


def node_grid(frame: Frame, spectral: Spectral) -> tuple[int, int]:
    """(h, w) of the nodes: one for each ``spectral.resolution`` pixels."""
    height, width = frame.cut
    return max(1, round(height / spectral.resolution)), max(1, round(width / spectral.resolution))
