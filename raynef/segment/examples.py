"""Segments that show what a cluster is: typical ones, borderline ones, and some at random."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

TYPICAL, BORDERLINE, RANDOM = 12, 4, 4
"""Of a cluster, at most."""

_OF_AN_IMAGE = 3  # connected parts of a cluster in one image that are candidates, the largest
_SMALL = 0.25  # of the median area of a cluster's candidates: smaller ones are taken last


@dataclass(frozen=True)
class Segments:
    """N connected parts of clusters; of each image the largest few of a cluster.

    Attributes:
        image: of each, int64 [N].
        cluster: likewise.
        rank: 0 of the largest part of its cluster in its image, 1 of the next, likewise.
        box: top, left, bottom and right in pixels of the map, the last two exclusive, int64 [N, 4].
        area: in pixels of the map, int64 [N].
        margin: mean over the part of how much the logit of its cluster is above the next one's,
            float64 [N].
    """

    image: np.ndarray
    cluster: np.ndarray
    rank: np.ndarray
    box: np.ndarray
    area: np.ndarray
    margin: np.ndarray

    @classmethod
    def joined(cls, parts: list["Segments"]) -> "Segments":
        """Those of several images."""
        names = ("image", "cluster", "rank", "box", "area", "margin")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Examples:
    """Places of a cluster's examples among its segments, int64; no segment is two of them."""

    typical: np.ndarray
    borderline: np.ndarray
    random: np.ndarray


def segments_of(clusters: np.ndarray, margins: np.ndarray, *, image: int) -> Segments:
    """The segments of one image: clusters int [H, W], margins float [H, W]."""
    rows = list(_parts(clusters, margins))
    return Segments(
        image=np.full(len(rows), image, dtype=np.int64),
        cluster=np.array([row[0] for row in rows], dtype=np.int64),
        rank=np.array([row[1] for row in rows], dtype=np.int64),
        box=np.array([row[2] for row in rows], dtype=np.int64).reshape(-1, 4),
        area=np.array([row[3] for row in rows], dtype=np.int64),
        margin=np.array([row[4] for row in rows], dtype=np.float64),
    )


def _parts(
    clusters: np.ndarray, margins: np.ndarray
) -> Iterator[tuple[int, int, tuple[int, int, int, int], int, float]]:
    """Cluster, rank, box, area and margin."""
    for cluster in np.unique(clusters).tolist():
        parts = np.empty(clusters.shape, dtype=np.int32)
        ndimage.label(clusters == cluster, output=parts)
        areas = np.bincount(parts.ravel())[1:]
        sums = np.bincount(parts.ravel(), weights=margins.ravel())[1:]
        for rank, part in enumerate(np.argsort(-areas, kind="stable")[:_OF_AN_IMAGE].tolist()):
            rows, columns = np.nonzero(parts == part + 1)
            box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
            yield cluster, rank, box, int(areas[part]), float(sums[part] / areas[part])


def choose(segments: Segments, draws: np.random.Generator) -> Examples:
    """Examples among the segments of one cluster, of as many images as there are.

    Typical ones have the largest margins, borderline ones the smallest. Where there are few
    segments, a quarter of them each is borderline and random.
    """
    num = len(segments.image)
    few = min(BORDERLINE, num // 4)
    small = segments.area < _SMALL * np.median(segments.area) if num else segments.area
    # One segment of each image before a second of any, and specks after all.
    order = np.lexsort((-segments.margin, small, segments.rank))
    typical = order[: min(TYPICAL, num - few - min(RANDOM, num // 4))]
    left = order[len(typical) :]
    doubtful = left[np.lexsort((segments.margin[left], small[left], segments.rank[left]))]
    borderline, rest = doubtful[:few], np.sort(doubtful[few:])
    drawn = draws.choice(rest, min(RANDOM, len(rest)), replace=False)
    return Examples(typical, borderline, drawn)
