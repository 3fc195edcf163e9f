"""Labels of a training view's patches, for what is supervised: the probe and train.leak_labels.

Nothing that trains the segmenter imports this. A label goes through the geometry of its image's
view, by the same draws, on a path of its own.
"""

import numpy as np

from raynef.config.recipe import Data
from raynef.core import IGNORE
from raynef.images.augment import draws_of_view, place_view
from raynef.images.geometry import resize_label


def label_view(label: np.ndarray, data: Data, *, seed: int, view: int, index: int) -> np.ndarray:
    """The label of ``augment``'s view with the same keys: int32 [H, W] -> [crop, crop].

    Nearest neighbors; IGNORE on padding.
    """
    draws = draws_of_view(seed, view, index)
    where = place_view(label.shape, data, view=view, draws=draws)
    height, width = where.extent
    result = np.full((data.crop, data.crop), IGNORE, dtype=np.int32)
    result[:height, :width] = resize_label(label, where.size)[where.pixels()]
    return result


def patch_shares(label: np.ndarray, grid: int, num_classes: int) -> np.ndarray:
    """Share of each class in the pixels of each patch: [crop, crop] -> float32 [grid·grid, C].

    A row sums to the labeled share of its patch. Cross-entropy against these shares is that of
    all pixels against the logits of the patch that they lie in.
    """
    crop = label.shape[0]
    cell = np.arange(crop) * grid // crop
    cells = cell[:, None] * grid + cell[None, :]
    labeled = label != IGNORE
    codes = cells[labeled] * num_classes + label[labeled]
    counts = np.bincount(codes, minlength=grid * grid * num_classes)
    pixels = np.bincount(cells.ravel(), minlength=grid * grid)
    return (counts.reshape(-1, num_classes) / pixels[:, None]).astype(np.float32)
