"""The eigenpairs of a unit of images: in a task, or in an actor that holds a GPU.

On a GPU images of one size are solved together; on CPU each task solves one after the other, and
there are as many tasks as cores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from raynef.cluster.stream import Unit
from raynef.config.recipe import Spectral
from raynef.core.affinity import Affinity, stacked
from raynef.eigen.spectrum import smallest_eigenpairs
from raynef.graph.affinity import image_affinity
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import read_image
from raynef.images.fitted import Frame, fit
from raynef.images.geometry import resize
from raynef.jobs.shards import ShardMade, ShardUnit
from raynef.jobs.spectral.features import WholeFeatures
from raynef.stores.shards import write_rows


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

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the nodes."""
        return self.vectors.shape[0], self.vectors.shape[1]


Given = tuple[torch.Tensor, np.ndarray, Frame]
"""Features [h', w', D] of an image, the pixels that they were made of, and how it was fitted."""


def read_unit(unit: ShardUnit, *, features: str, spectral: Spectral, stride: int) -> Unit:
    """Task: features and pixels of a unit's images, in ``given``."""
    store = WholeFeatures(features)
    given: list[Given] = [
        (store.read(index), *fitted(file, stride=stride, spectral=spectral))
        for index, file in zip(unit.images, unit.files, strict=True)
    ]
    return {**vars(unit), "given": given}


class EigenActor:
    """Actor: solves the images of a unit on its device, those of one size together."""

    def __init__(self, spectral: Spectral, device: str) -> None:
        self.spectral, self.device = spectral, torch.device(device)

    def __call__(self, unit: Unit) -> Unit:
        """Replaces ``given`` by ``pairs``."""
        pairs = solve_images(unit.pop("given"), self.spectral, device=self.device, together=True)
        return {**unit, "pairs": pairs}


def write_unit(unit: Unit) -> ShardMade:
    """Task: the ``pairs`` of a unit as a shard."""
    found: list[ImagePairs] = unit["pairs"]
    columns = {
        "frame": frame_column([item.frame for item in found]),
        "shape": pa.array([list(item.vectors.shape) for item in found], pa.list_(pa.int32())),
        "values": pa.array([item.values.tolist() for item in found], pa.list_(pa.float64())),
        "residuals": pa.array([item.residuals.tolist() for item in found], pa.list_(pa.float64())),
        "vectors": pa.array([item.vectors.tobytes() for item in found], pa.large_binary()),
    }
    shard = write_rows(
        Path(unit["folder"]), file=unit["file"], view=0, images=unit["images"], columns=columns
    )
    return ShardMade(shard, {}, len(unit["images"]))


def solve_unit(unit: ShardUnit, *, features: str, spectral: Spectral, stride: int) -> ShardMade:
    """Task: all of it, on CPU."""
    read = read_unit(unit, features=features, spectral=spectral, stride=stride)
    return write_unit({**read, "pairs": solve_images(read.pop("given"), spectral)})


def fitted(file: ImageFile, *, stride: int, spectral: Spectral) -> tuple[np.ndarray, Frame]:
    """An image as its features were made of it, uint8 [H', W', 3], and how it was fitted."""
    return fit(read_image(file.path), stride=stride, max_side=spectral.max_side)


def solve_images(
    given: Sequence[Given],
    spectral: Spectral,
    *,
    device: torch.device | None = None,
    together: bool = False,
) -> list[ImagePairs]:
    """Affinities and eigenpairs of some images.

    Args:
        given: of each.
        spectral: resolution, colors and number of vectors.
        device: that computes; by default the features' own.
        together: solve images whose affinities are of one size and form as one.
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


def _solve(affinities: list[Affinity], frames: list[Frame], spectral: Spectral) -> list[ImagePairs]:
    one = affinities[0] if len(affinities) == 1 else stacked(affinities)
    wanted = spectral.num_eigenvectors + 1
    pairs = smallest_eigenpairs(one, wanted)
    if len(affinities) > 1 and pairs.values.shape[1] < wanted:
        # One with few linked nodes has few pairs, and leaves the others no more.
        alone = zip(affinities, frames, strict=True)
        return [_solve([affinity], [frame], spectral)[0] for affinity, frame in alone]
    return [
        ImagePairs(
            values=pairs.values[place].cpu().numpy(),
            vectors=pairs.vectors[place]
            .float()
            .cpu()
            .numpy()
            .reshape(*node_grid(frame, spectral), -1),
            residuals=pairs.residuals[place].cpu().numpy(),
            frame=frame,
        )
        for place, frame in enumerate(frames)
    ]


def node_grid(frame: Frame, spectral: Spectral) -> tuple[int, int]:
    """(h, w) of the nodes: one for each ``spectral.resolution`` pixels."""
    height, width = frame.cut
    return max(1, round(height / spectral.resolution)), max(1, round(width / spectral.resolution))


def frame_column(frames: Sequence[Frame]) -> pa.Array:
    """Frames as a column, six numbers each."""
    return pa.array([[*f.size, *f.resized, *f.cut] for f in frames], pa.list_(pa.int32()))


def frame_from(column: pa.Array) -> Frame:
    """The frame of a column's first row."""
    numbers = column[0].as_py()
    return Frame(tuple(numbers[0:2]), tuple(numbers[2:4]), tuple(numbers[4:6]))
