"""How well a box finds an object: IoU and CorLoc (arXiv:2205.07839, Sec. 4.1)."""

from collections.abc import Sequence

import numpy as np

CORRECT = 0.5
"""IoU from which a box is right."""


def overlaps(box: tuple[float, float, float, float], truth: np.ndarray) -> np.ndarray:
    """IoU of one box with each of some, all half-open (x0, y0, x1, y1): [m, 4] -> [m]."""
    width = np.minimum(box[2], truth[:, 2]) - np.maximum(box[0], truth[:, 0])
    height = np.minimum(box[3], truth[:, 3]) - np.maximum(box[1], truth[:, 1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    areas = (truth[:, 2] - truth[:, 0]) * (truth[:, 3] - truth[:, 1])
    own = (box[2] - box[0]) * (box[3] - box[1])
    return common / np.maximum(own + areas - common, 1e-12)


def corloc(best: np.ndarray) -> float:
    """Share of the images whose largest IoU, ``best`` [n], is >= 0.5; NaN of no image."""
    return float((best >= CORRECT).mean()) if len(best) else float("nan")


def center_box(
    mean_size: tuple[float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """A box at the center of an image of ``size`` (H, W), the content-independent baseline.

    ``mean_size``: (height, width) as shares of the image's.
    """
    down, across = mean_size[0] * size[0] / 2, mean_size[1] * size[1] / 2
    x, y = size[1] / 2, size[0] / 2
    return (x - across, y - down, x + across, y + down)


def corloc_of_centers(
    shares: Sequence[np.ndarray], sizes: Sequence[tuple[int, int]], truths: Sequence[np.ndarray]
) -> float:
    """CorLoc of one box for all images, of the mean of some sizes and at the center.

    Args:
        shares: (height, width) as shares of an image's, [2] each; all of the image if empty.
        sizes: (H, W) of each image.
        truths: boxes of each image, [m, 4] with m >= 1.
    """
    height, width = np.mean(shares, axis=0) if len(shares) else np.ones(2)
    boxes = [center_box((height, width), size) for size in sizes]
    pairs = zip(boxes, truths, strict=True)
    return corloc(np.array([overlaps(box, truth).max() for box, truth in pairs]))
