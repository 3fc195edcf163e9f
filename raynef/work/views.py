"""Training views turned into features by actors; see ``raynef.work.reading`` for the views."""

from dataclasses import dataclass
from typing import Generic

import numpy as np
import torch

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.config.recipe import Recipe
from raynef.core.errors import UserError
from raynef.features.backbone import Backbone, load_backbone
from raynef.features.extract import Features, extract_features
from raynef.features.precision import Precision
from raynef.images.augment import View
from raynef.work.units import Carried, U, chunks


@dataclass(frozen=True)
class ViewFeatures(Generic[U]):
    """Features of the images of a unit that are ``kept``; None where not one could be read."""

    unit: U
    kept: list[int]
    features: Features | None
    skipped: dict[str, str]


class FeatureActor:
    """Actor: one frozen backbone, and the precision in which it computes."""

    def __init__(self, config: BackboneConfig, device: str, *, precision: Precision) -> None:
        self.backbone = load_backbone(config).to(device)
        self.batch_size = config.batch_size
        self.precision: Precision = precision

    def __call__(self, read: Carried[U, View]) -> ViewFeatures[U]:
        parts = [
            extract_features(
                self.backbone,
                np.stack([view.pixels for view in part]),
                np.array([view.extent for view in part]),
                precision=self.precision,
            )
            for part in chunks(list(read.values.values()), self.batch_size)
        ]
        features = None
        if parts:  # on the CPU, in half precision
            features = Features(
                taps=torch.cat([part.taps.half().cpu() for part in parts]),
                thumbnails=torch.cat([part.thumbnails.half().cpu() for part in parts]),
                valid=torch.cat([part.valid.cpu() for part in parts]),
            )
        return ViewFeatures(read.unit, list(read.values), features, read.skipped)


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
