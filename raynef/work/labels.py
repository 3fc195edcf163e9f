"""Labels for what is supervised: the linear probe, and ``train.leak_labels``.

The label-free path imports nothing from here; it hands on an ``ImageSet`` whose labels stay closed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from raynef.cluster.stream import stream
from raynef.config.recipe import Data
from raynef.core import IGNORE
from raynef.core.errors import BadImageError, UserError
from raynef.images.datasets.imageset import ImageSet, require_labels
from raynef.images.decode import read_image
from raynef.images.oriented import read_truth
from raynef.images.patch_labels import label_view, patch_shares
from raynef.work.units import Examined, ImageUnit, chunks, watched

_BATCH = 32  # images of a unit


@dataclass(frozen=True)
class PatchLabels:
    """Class shares of the patches of training views, which are ``grid``² patches large."""

    images: ImageSet
    data: Data
    grid: int

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.images.class_names)

    def read(self, images: Sequence[int], *, view: int) -> Tensor:
        """Shares of the classes in each patch, float32 [B, h·w, C].

        Raises:
            UserError: a label that cannot be read or holds what is no class, naming the file.
        """
        return torch.from_numpy(np.stack([self._read_one(index, view) for index in images]))

    def label(self, index: int) -> np.ndarray:
        """The label of an image, int32 [H, W]. Raises UserError as ``read``."""
        file = self.images.files[index]
        label = read_truth(file, self.images.label_codes)
        strange = label[(label != IGNORE) & ((label < 0) | (label >= self.num_classes))]
        if strange.size:
            raise UserError(
                f"the label of {file.name} holds {strange.max()}, which is none of the "
                f"{self.num_classes} classes"
            )
        return label

    def check(self, images: Sequence[int]) -> None:
        """Open the label of each image once, so that a bad one is said before hours are spent.

        Needs a running Ray. Raises UserError: how many cannot be used, and the first of them.
        """
        units = [ImageUnit(part) for part in chunks(images, _BATCH)]
        results = stream(units, prepare=partial(find_mistakes, labels=self), in_order=True)
        mistakes: list[str] = []
        for part in watched(results, "labels", len(images), "labels"):
            mistakes += part.skipped.values()
        if mistakes:
            raise UserError(f"{len(mistakes)} label(s) cannot be used: {mistakes[0]}")

    def _read_one(self, index: int, view: int) -> np.ndarray:
        keys = {"seed": self.data.view_seed, "view": view, "index": index}
        part = label_view(self.label(index), self.data, **keys)
        return patch_shares(part, self.grid, self.num_classes)


def patch_labels(images: ImageSet, data: Data, *, grid: int) -> PatchLabels:
    """Labels of a training split, none of which is opened yet.

    Raises:
        UserError: images without a label, or a data set that names no classes.
    """
    require_labels(images)
    if not images.class_names:
        raise UserError(f"{images.root} names no classes (classes.txt), which supervision needs")
    return PatchLabels(images, data, grid)


def find_mistakes(unit: ImageUnit, *, labels: PatchLabels) -> Examined:
    """Task: open the labels of a unit."""
    mistakes: dict[str, str] = {}
    for index in unit.images:
        file = labels.images.files[index]
        try:
            # A label goes where its own shape says; it must be that of the image.
            found, expected = labels.label(index).shape, read_image(file.path).shape[:2]
        except (UserError, BadImageError) as error:
            mistakes[file.name] = str(error)
            continue
        if found != expected:
            mistakes[file.name] = (
                f"the label of {file.name} is {found[1]}x{found[0]}, "
                f"but its image is {expected[1]}x{expected[0]}"
            )
    return Examined(len(unit.images), mistakes)
