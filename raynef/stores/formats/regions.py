"""The regions of a map, one for each category that occurs, and their run lengths."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Region:
    """The pixels of one category.

    Attributes:
        category: its number.
        area: pixels.
        left, top, width, height: of the smallest box around them.
        mask: bool [height, width], within the box.
    """

    category: int
    area: int
    left: int
    top: int
    width: int
    height: int
    mask: np.ndarray

    @property
    def box(self) -> list[int]:
        """As COCO has it."""
        return [self.left, self.top, self.width, self.height]


def regions(categories: np.ndarray) -> Iterator[Region]:
    """The regions of a map [H, W], in the order of their numbers; -1 is none."""
    for category in np.unique(categories).tolist():
        if category < 0:
            continue
        mask = categories == category
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        yield Region(
            category=category,
            area=int(np.count_nonzero(mask)),
            left=int(left),
            top=int(top),
            width=int(right - left),
            height=int(bottom - top),
            mask=mask[top:bottom, left:right],
        )


def run_lengths(mask: np.ndarray) -> np.ndarray:
    """Lengths of the runs of a flat mask, bool [n], int64 [m]: of 0s and 1s in turn.

    The first is of 0s, and is 0 where the mask begins with a 1.
    """
    cuts = np.flatnonzero(np.diff(mask, prepend=False))
    return np.diff(cuts, prepend=0, append=len(mask))
