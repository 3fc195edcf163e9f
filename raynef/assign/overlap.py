"""How well a mask fits the object of its image (arXiv:2205.07839, Sec. 4.2)."""

from dataclasses import dataclass

import numpy as np

from raynef.core import IGNORE


@dataclass(frozen=True)
class Overlap:
    """Shares of 1: the foreground's IoU, and the pixels that are right."""

    iou: float
    accuracy: float


def mask_overlap(mask: np.ndarray, truth: np.ndarray) -> Overlap:
    """A mask, bool [H, W], against classes, int [H, W]: 1 the foreground; IGNORE is not scored."""
    known, right = truth != IGNORE, mask == (truth == 1)
    wanted = (truth == 1) & known
    union = ((mask & known) | wanted).sum()
    return Overlap(
        iou=float((mask & wanted).sum() / union) if union else 1.0,
        accuracy=float(right[known].mean()) if known.any() else 1.0,
    )
