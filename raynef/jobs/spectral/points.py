"""What is clustered over all images: the features of their segments, or of their patches."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from raynef.cluster.stream import Unit, stream
from raynef.core.draws import generator, lowest
from raynef.jobs.spectral.features import WholeFeatures
from raynef.jobs.spectral.segments import SegmentStore

Source = SegmentStore | WholeFeatures
"""Where the points of an image come from: its segments, or its patches."""
_IMAGES = 64  # of a unit


def draw_points(source: Source, images: Sequence[int], *, max_points: int, seed: int) -> np.ndarray:
    """At most ``max_points`` points, drawn uniformly from those of all images: float32 [M, D].

    As in ``raynef.jobs.patches.sample_patches``: each point has a uniform number, which follows
    from the seed and its image, and the lowest are taken. Tasks hand over only the numbers below
    ``max_points`` over all points, so a few per cent fewer may be drawn.

    Args:
        source: of the points.
        images: whose points these are.
        max_points: bound of the rows, and so of the memory.
        seed: of the draw.
    """
    units: list[Unit] = [
        {"images": images[start : start + _IMAGES]} for start in range(0, len(images), _IMAGES)
    ]
    where = {"folder": str(source.folder), "patches": isinstance(source, WholeFeatures)}
    total = sum(stream(units, prepare=partial(count_points, **where)))
    work = partial(read_points, share=min(1.0, max_points / max(1, total)), seed=seed, **where)
    parts = list(stream(units, prepare=work, in_order=True))
    kept = lowest(np.concatenate([numbers for _, numbers in parts]), max_points)
    return np.concatenate([rows for rows, _ in parts])[kept]


def count_points(unit: Unit, *, folder: str, patches: bool) -> int:
    """Task: how many points the images of a unit have."""
    source = _source(folder, patches)
    if isinstance(source, WholeFeatures):
        return sum(int(np.prod(source.grid(index))) for index in unit["images"])
    return sum(len(points_of(source, index)) for index in unit["images"])


def read_points(
    unit: Unit, *, folder: str, patches: bool, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Task: the points of a unit's images whose number is below ``share``, and these numbers."""
    source = _source(folder, patches)
    rows, numbers = [], []
    for index in unit["images"]:
        points = points_of(source, index)
        drawn = generator("points", seed, index).random(len(points))
        rows.append(points[drawn < share])
        numbers.append(drawn[drawn < share])
    return np.concatenate(rows), np.concatenate(numbers)


def points_of(source: Source, index: int) -> np.ndarray:
    """The points of one image, float32 [n, D]: all patches, or all segments but the background."""
    if isinstance(source, WholeFeatures):
        return source.read(index).flatten(0, 1).numpy()
    segments = source.read(index)
    return segments.directions[np.arange(len(segments.features)) != segments.background]


def _source(folder: str, patches: bool) -> Source:
    return WholeFeatures(folder) if patches else SegmentStore(folder)
