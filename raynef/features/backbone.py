"""A frozen timm model that yields patch features of block 0, block n/2 and the last.

Grid, prefix tokens, mean and standard deviation follow from the model (see ``taps``). Any image
that is a multiple of the patch size works: timm resamples the position embeddings.
"""

import difflib
from typing import Any

import torch
from torch import Tensor, nn

from raynef.config.recipe import BUNDLED_BACKBONE, Tap
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import UserError
from raynef.core.unfilled import unfilled
from raynef.features.clip import PREFIX, empty_dense_clip, load_dense_clip
from raynef.features.fallback import completed
from raynef.features.taps import (
    NoGridError,
    as_tokens,
    check_plan,
    last_features,
    plan_of,
    recording,
    taps_of,
)
from raynef.features.weights import load_weights, resolve_weights

NUM_TAPS = 3  # block 0, block n/2, last


class FrozenModel(nn.Module):
    """A timm model that does not learn, in evaluation mode.

    Attributes:
        name: timm's name.
        mean, std: of the model's own input normalization, on pixels in [0, 1].
    """

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        self.model, self.name = model.eval().requires_grad_(False), name
        config = model.pretrained_cfg
        self.mean = tuple(float(value) for value in config["mean"])
        self.std = tuple(float(value) for value in config["std"])


class Backbone(FrozenModel):
    """A frozen model with its taps.

    Attributes:
        dim: D, features of a patch.
        patch_size: P, pixels of a patch's side; of a pyramid the stride of its last stage.

    Raises:
        UserError: a model without a patch grid for images of any size, or without keys.
    """

    def __init__(self, model: Any, *, name: str, tap: Tap) -> None:
        super().__init__(model, name)
        self.tap = tap
        try:
            self.plan = plan_of(model)
            check_plan(
                self.forward,
                self.plan,
                native=model.pretrained_cfg["input_size"][1:],
                device=next(model.parameters()).device,
            )
        except NoGridError as error:
            raise UserError(
                f"backbone {name!r} yields no patch grid: {error}. ViTs do, for example "
                "vit_small_patch16_384, vit_small_patch16_224.dino or deit_tiny_patch16_224, and "
                "so do xcit_small_12_p16_224, resnet50 and convnext_tiny"
            ) from error
        self.dim, self.patch_size = self.plan.dim, self.plan.patch_size
        self.num_prefix_tokens = self.plan.num_prefix_tokens

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Normalized images [B, 3, H, W] -> taps [B, 3, h·w, D], row-major over the grid."""
        return self.taps(images)

    def taps(self, images: Tensor) -> Tensor:
        """As ``forward``, in whatever mode of torch's is on, such as that of an export."""
        plan, (height, width) = self.plan, images.shape[-2:]
        if height % plan.patch_size or width % plan.patch_size:
            raise ValueError(
                f"images must be multiples of the patch size {plan.patch_size}, "
                f"got {height}x{width}"
            )
        tapped = recording(taps_of(plan, keys=self.tap == "keys"))
        with tapped as seen, completed(images.device):
            output = self.model.forward_features(images)
        grid = (height // plan.patch_size, width // plan.patch_size)
        first, middle, last = (
            as_tokens(part, plan, batch=images.shape[0], grid=grid)
            for part in (seen["first"], seen["middle"], last_features(output, seen, plan))
        )
        if self.tap == "keys":
            try:
                last = as_tokens(seen["keys"], plan, batch=images.shape[0], grid=grid)
            except NoGridError as error:  # those of a window, or of other heads than the tokens'
                raise UserError(f"backbone.tap keys does not fit {self.name}: {error}") from error
        return torch.stack([first, middle, last], dim=1)


def load_backbone(config: BackboneConfig) -> Backbone:
    """The recipe's backbone with its weights, on the CPU, in evaluation mode.

    Raises:
        UserError: an unknown name, a model without a patch grid, or weights that do not fit.
    """
    return Backbone(load_model(config), name=config.name, tap=config.tap)


def load_model(config: BackboneConfig) -> Any:
    """The recipe's timm model with its weights, on the CPU; of open_clip's, its visual tower.

    Errors as of ``load_backbone``.
    """
    path = resolve_weights(config)
    if config.name.startswith(PREFIX):
        attention = "neighborhood" if config.tap == "neighborhood" else "values"
        return load_dense_clip(config.name, path, attention)
    if config.tap == "neighborhood":
        raise UserError(
            f"backbone.tap neighborhood is of a backbone {PREFIX}NAME.TAG, whose patches are "
            f"compared with texts; {config.name} is timm's"
        )
    if path is None:
        return create_model(config.name, from_hub=True)
    with unfilled():
        model = create_model(config.name)
    load_weights(model, path, name=config.name)
    return model


def create_model(name: str, *, from_hub: bool = False) -> Any:
    """A timm model without a classifier, for images of any size where its family has such.

    Of ``open_clip/…`` a visual tower with random weights, ``from_hub`` or not.
    """
    if name.startswith(PREFIX):
        return empty_dense_clip(name)
    # Here, as it takes two seconds: a training on stored features makes no model of timm's.
    import timm

    from raynef.features.student import create_student

    if name == BUNDLED_BACKBONE:
        return create_student()
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=5, cutoff=0.5)
        hint = f"; similar: {', '.join(near)}" if near else ""
        raise UserError(f"backbone.name {name!r} is not a timm model{hint}")
    options: dict[str, Any] = {"pretrained": from_hub, "num_classes": 0}
    try:
        try:
            return timm.create_model(name, dynamic_img_size=True, **options)
        except TypeError:  # a family without that option; most of them take any size as they are
            return timm.create_model(name, **options)
    except Exception as error:
        if from_hub:
            raise UserError(
                f"the weights of {name} could not be fetched from the hub ({error}); without "
                "network give a local file: --backbone.weights FILE.safetensors"
            ) from error
        raise UserError(f"backbone {name!r} cannot be made: {error}") from error
