"""A draw of what is clustered over all images: features of segments, or of patches."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from raynef.cluster.stream import stream
from raynef.core.draws import generator, lowest
from raynef.jobs.spectral.features import WholeFeatures
from raynef.jobs.spectral.segments import SegmentStore
from raynef.work.units import ImageUnit, chunks

Source = SegmentStore | WholeFeatures
"""Where the points of an image come from: its segments, or its patches."""
_IMAGES = 64  # of a unit


def draw_points(source: Source, images: Sequence[int], *, max_points: int, seed: int) -> np.ndarray:
    """At most ``max_points`` points, drawn uniformly from those of all images: float32 [M, D].

    As in ``raynef.work.patches.sample_patches``: each point has a uniform number, which follows
    from the seed and its image, and the lowest are taken. Tasks hand over only the numbers below
    ``max_points`` over all points, so a few per cent fewer may be drawn.
    """
    units = [ImageUnit(part) for part in chunks(images, _IMAGES)]
    where = {"kind": type(source), "folder": str(source.folder)}
    total = sum(stream(units, prepare=partial(count_points, **where)))
    work = partial(read_points, share=min(1.0, max_points / max(1, total)), seed=seed, **where)
    parts = list(stream(units, prepare=work, in_order=True))
    kept = lowest(np.concatenate([numbers for _, numbers in parts]), max_points)
    return np.concatenate([rows for rows, _ in parts])[kept]


def count_points(unit: ImageUnit, *, kind: type[Source], folder: str) -> int:
    """Task: how many points the images of a unit have."""
    source = kind(folder)
    return sum(source.num_points(index) for index in unit.images)


def read_points(
    unit: ImageUnit, *, kind: type[Source], folder: str, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Task: the points of a unit's images whose number is below ``share``, and these numbers."""
    source = kind(folder)
    rows, numbers = [], []
    for index in unit.images:
        points = source.points(index)
        drawn = generator("points", seed, index).random(len(points))
        rows.append(points[drawn < share])
        numbers.append(drawn[drawn < share])
    return np.concatenate(rows), np.concatenate(numbers)
