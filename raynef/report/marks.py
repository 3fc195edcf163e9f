"""Words within segments: what a color means, for whoever cannot tell it from another."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from raynef.report.index_map import counts_of
from raynef.report.palette import boundaries

SIZE = 14
"""Of the letters, in pixels of the picture."""
_WIDE = 0.58 * SIZE  # of a letter, about
_ROOM = 0.62 * SIZE  # from a word's middle to the nearest boundary, at least


@dataclass(frozen=True)
class Mark:
    """A word, and the place of its middle in pixels of the picture."""

    x: int
    y: int
    text: str


def marks(index: np.ndarray, texts: Mapping[int, str]) -> tuple[Mark, ...]:
    """The word of each value of a map int [H, W], once, amid where the value's area is widest.

    A value without a word has none, nor has one whose word would not fit into its area.
    """
    values = [value for value in counts_of(index)[0].tolist() if value in texts]
    if not values:
        return ()
    framed = np.pad(~boundaries(index), 1)
    # pyright knows half of ndimage.
    room: np.ndarray = ndimage.distance_transform_edt(framed)  # pyright: ignore[reportAttributeAccessIssue]
    room = room[1:-1, 1:-1]
    found = []
    for value in values:
        inside = np.where(index == value, room, -1)
        widest = np.argwhere(inside > inside.max() - 1)
        away = np.square(widest - widest.mean(axis=0)).sum(axis=1)
        y, x = widest[away.argmin()].tolist()
        is_boundary = index[y] != value
        left = x - int(np.flatnonzero(np.r_[True, is_boundary[:x]])[-1])
        right = int(np.flatnonzero(np.r_[is_boundary[x:], True])[0])
        fits = len(texts[value]) * _WIDE <= 2 * min(left, right)
        if fits and room[y, x] >= _ROOM:
            found.append(Mark(x, y, texts[value]))
    return tuple(found)
