"""Training views: read, decoded and augmented by tasks, turned into features by actors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.config.recipe import Data, Recipe
from raynef.core.errors import UserError
from raynef.features.backbone import Backbone, load_backbone
from raynef.features.extract import Features, extract_features
from raynef.features.precision import Precision
from raynef.images.augment import View, augment
from raynef.images.geometry import resize_bicubic
from raynef.jobs.work import ImageUnit, readable

U = TypeVar("U", bound=ImageUnit)


@dataclass(frozen=True)
class Views(Generic[U]):
    """The views of the images of a unit that could be read, n of them.

    Attributes:
        kept: their indices.
        pixels: uint8 [n, side, side, 3].
        extents: (height, width) of each image within its view, int64 [n, 2].
        skipped: {name: reason} of the others.
    """

    unit: U
    kept: list[int]
    pixels: np.ndarray
    extents: np.ndarray
    skipped: dict[str, str]


@dataclass(frozen=True)
class ViewFeatures(Generic[U]):
    """What actors make of ``Views``: features on the CPU, in half precision; None of no image."""

    unit: U
    kept: list[int]
    features: Features | None
    skipped: dict[str, str]


def make_views(unit: U, *, data: Data, side: int) -> Views[U]:
    """Task: read, decode and augment the images of a unit; a bad file becomes a named reason."""
    views: list[View] = []
    kept: list[int] = []
    skipped: dict[str, str] = {}
    for position, _, image in readable(unit.files, skipped):
        index = unit.images[position]
        view = augment(image, data, seed=data.view_seed, view=unit.view, index=index)
        views.append(resized_view(view, side))
        kept.append(index)
    pixels = np.zeros((0, side, side, 3), np.uint8)
    return Views(
        unit,
        kept,
        np.stack([view.pixels for view in views]) if views else pixels,
        np.array([view.extent for view in views], dtype=np.int64).reshape(-1, 2),
        skipped,
    )


def resized_view(view: View, side: int) -> View:
    """A view at the side that the backbone takes, bicubic; what was padding stays padding.

    The padding repeats the image's edge, so that none of it shows in the resized image; a row or
    column that is in part padding counts as padding.
    """
    crop = len(view.pixels)
    if side == crop:
        return view
    height, width = (max(1, length * side // crop) for length in view.extent)
    return View(resize_bicubic(view.pixels, (side, side)), (height, width))


class FeatureActor:
    """Actor: one frozen backbone; it computes in the precision of its device if that is None."""

    def __init__(
        self, config: BackboneConfig, device: str, precision: Precision | None = None
    ) -> None:
        self.backbone = load_backbone(config).to(device)
        self.batch_size = config.batch_size
        self.precision: Precision | None = precision

    def __call__(self, views: Views[U]) -> ViewFeatures[U]:
        parts = [
            extract_features(
                self.backbone,
                views.pixels[start : start + self.batch_size],
                views.extents[start : start + self.batch_size],
                precision=self.precision,
            )
            for start in range(0, len(views.pixels), self.batch_size)
        ]
        return ViewFeatures(
            views.unit, views.kept, _on_cpu(parts) if parts else None, views.skipped
        )


def _on_cpu(parts: Sequence[Features]) -> Features:
    return Features(
        taps=torch.cat([part.taps.half().cpu() for part in parts]),
        thumbnails=torch.cat([part.thumbnails.half().cpu() for part in parts]),
        valid=torch.cat([part.valid.cpu() for part in parts]),
    )


def view_side(recipe: Recipe) -> int:
    """Side of a training view as the backbone sees it, in pixels."""
    return recipe.backbone.input_size or recipe.data.crop


def fitting_backbone(recipe: Recipe) -> Backbone:
    """The recipe's backbone. Raises UserError where its patches do not divide a view."""
    return fitting(load_backbone(recipe.backbone), recipe)


def fitting(backbone: Backbone, recipe: Recipe) -> Backbone:
    """The backbone. Raises UserError where its patches do not divide a view."""
    side, patch = view_side(recipe), backbone.patch_size
    below = side // patch * patch
    if side != below:
        near = " or ".join(str(size) for size in (below, below + patch) if size)
        resized = recipe.backbone.input_size is not None
        advice = "" if resized else ", or give such a size to backbone.input_size to resize crops"
        raise UserError(
            f"{'backbone.input_size' if resized else 'data.crop'} must be a multiple of the patch "
            f"size {patch} of {backbone.name}, got {side}; nearest: {near}{advice}"
        )
    return backbone
