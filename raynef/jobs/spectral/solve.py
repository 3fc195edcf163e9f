"""The eigenpairs of a unit of images: in a task, or in an actor that holds a GPU.

On a GPU images of one size are solved together; on CPU each task solves one after the other, and
there are as many tasks as cores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from raynef.config.recipe import Spectral
from raynef.core.affinity import Affinity, stacked
from raynef.core.devices import beside
from raynef.eigen.spectrum import smallest_eigenpairs
from raynef.graph.affinity import image_affinity
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import read_image
from raynef.images.fitted import Fitted, Frame, fit
from raynef.images.geometry import resize
from raynef.jobs.shards import ShardMade, ShardUnit
from raynef.jobs.spectral.features import WholeFeatures
from raynef.jobs.spectral.rows import frames, integers, raw, write_values
from raynef.work.units import Carried


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
    """What an image is solved from: features [h', w', D], the pixels that they were made of, and
    how it was fitted."""

    features: torch.Tensor
    pixels: np.ndarray
    frame: Frame


def read_unit(
    unit: ShardUnit, *, features: str, spectral: Spectral, stride: int
) -> Carried[ShardUnit, Given]:
    """Task: features and pixels of a unit's images."""
    store = WholeFeatures(features)
    given = {
        index: Given(store.read(index), *fitted(file, stride=stride, spectral=spectral))
        for index, file in zip(unit.images, unit.files, strict=True)
    }
    return Carried(unit, given)


class EigenActor:
    """Actor: solves the images of a unit on or beside its device, those of one size together."""

    def __init__(self, spectral: Spectral, device: str) -> None:
        self.spectral, self.device = spectral, beside(torch.device(device))

    def __call__(self, read: Carried[ShardUnit, Given]) -> Carried[ShardUnit, ImagePairs]:
        """What is given of each image to its eigenpairs."""
        given = list(read.values.values())
        pairs = solve_images(given, self.spectral, device=self.device, together=True)
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
    pairs = solve_images(list(read.values.values()), spectral)
    made = Carried(unit, dict(zip(read.values, pairs, strict=True)))
    return write_values(made, columns=pair_columns)


def fitted(file: ImageFile, *, stride: int, spectral: Spectral) -> Fitted:
    """An image as its features were made of it, uint8 [H', W', 3], and how it was fitted."""
    return fit(read_image(file.path), stride=stride, max_side=spectral.max_side)


def solve_images(
    given: Sequence[Given],
    spectral: Spectral,
    *,
    device: torch.device | None = None,
    together: bool = False,
) -> list[ImagePairs]:
    """Affinities and eigenpairs of some images, on ``device`` if not where their features are.

    With ``together``, images whose affinities are of one size and form are solved as one.
    """
    affinities = [_affinity(item, spectral, device) for item in given]
    groups: dict[object, list[int]] = {}
    for index, affinity in enumerate(affinities):
        held = (affinity.num_nodes, affinity.factor is None, affinity.dense is None)
        groups.setdefault(held if together else index, []).append(index)
    found: dict[int, ImagePairs] = {}
    for members in groups.values():
        frames = [given[index][2] for index in members]
        solved = _solve([affinities[index] for index in members], frames, spectral)
        found.update(zip(members, solved, strict=True))
    return [found[index] for index in range(len(given))]


def _affinity(item: Given, spectral: Spectral, device: torch.device | None) -> Affinity:
    features, pixels, frame = item
    return image_affinity(
        features if device is None else features.to(device),
        resize(pixels, node_grid(frame, spectral)) / 255.0,
        color_weight=spectral.color_weight,
        neighbors=spectral.color_neighbors,
        space=spectral.color_space,
    )


def _solve(
    affinities: list[Affinity], frames_of: list[Frame], spectral: Spectral
) -> list[ImagePairs]:
    one = affinities[0] if len(affinities) == 1 else stacked(affinities)
    wanted = spectral.num_eigenvectors + 1
    pairs = smallest_eigenpairs(one, wanted)
    if len(affinities) > 1 and pairs.values.shape[1] < wanted:
        # One with few linked nodes has few pairs, and leaves the others no more.
        alone = zip(affinities, frames_of, strict=True)
        return [_solve([affinity], [frame], spectral)[0] for affinity, frame in alone]
    values, residuals = pairs.values.cpu().numpy(), pairs.residuals.cpu().numpy()
    vectors = pairs.vectors.float().cpu().numpy()
    return [
        ImagePairs(
            values=values[place],
            vectors=vectors[place].reshape(*node_grid(frame, spectral), -1),
            residuals=residuals[place],
            frame=frame,
        )
        for place, frame in enumerate(frames_of)
    ]


def node_grid(frame: Frame, spectral: Spectral) -> tuple[int, int]:
    """(h, w) of the nodes: one for each ``spectral.resolution`` pixels."""
    height, width = frame.cut
    return max(1, round(height / spectral.resolution)), max(1, round(width / spectral.resolution))
