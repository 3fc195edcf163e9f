"""A patch beside its image: what tells patches of unlike scenes apart."""

import torch
from torch import Tensor
from torch.nn import functional


def in_context(features: Tensor, valid: Tensor | None, weight: float) -> Tensor:
    """Each patch beside its image: [B, h·w, D] -> [B, h·w, 2D].

    The features at unit length, joined with ``weight`` times the mean of the image's, of unit
    length too. ``valid`` [B, h·w] is False on padding, which no mean counts.
    """
    unit, image = patch_and_image(features, valid)
    return torch.cat((unit, (weight * image).expand_as(unit)), dim=-1)


def patch_and_image(features: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Both of these at unit length: [B, h·w, D], and the image's [B, 1, D]."""
    unit = functional.normalize(features, dim=-1)
    counted = unit if valid is None else unit * valid[..., None]
    return unit, functional.normalize(counted.sum(dim=1, keepdim=True), dim=-1)
