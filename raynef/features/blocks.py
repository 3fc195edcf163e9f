"""One feature of one block of a frozen timm model, as Deep Spectral Methods take them.

The paper's own is the last block's attention keys; Tables 6, 8 and 9 (arXiv:2205.07839) vary what
is taken and from where.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.config.recipe import Spectral
from raynef.core.errors import UserError
from raynef.features.backbone import create_model
from raynef.features.taps import NoGridError, Plan, as_tokens, plan_of, projection
from raynef.features.weights import load_weights, resolve_weights

Kind = Literal["key", "query", "value", "output", "token"]


class BlockFeatures(nn.Module):
    """A frozen model that yields one feature of one block.

    Attributes:
        name: timm's name.
        patch_size: P, pixels of a patch's side; of a pyramid the stride of the stage.
        stride: what the sides of an image must be multiples of.
        dim: D.
        mean, std: of the model's own input normalization, on pixels in [0, 1].

    Raises:
        UserError: a block that there is not, or one without what is asked of it.
    """

    def __init__(
        self, model: Any, *, name: str, feature: Kind, block: int = -1, stage: int | None = None
    ) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.name, self.feature = name, feature
        try:
            self.plan: Plan = plan_of(model, stage)
        except NoGridError as error:
            raise UserError(f"backbone {name!r} yields no patch grid: {error}") from error
        blocks = self.plan.blocks
        if not -len(blocks) <= block < len(blocks):
            raise UserError(
                f"spectral.block {block}: {name} has {len(blocks)} blocks, 0 to {len(blocks) - 1} "
                "or from the end -1, -2, …"
            )
        self.block = block % len(blocks)
        self._tap = _tap_of(blocks[self.block], feature, name)
        self.dim, self.patch_size = self.plan.dim, self.plan.patch_size
        self.stride = plan_of(model).patch_size
        config = model.pretrained_cfg
        self.mean = tuple(float(value) for value in config["mean"])
        self.std = tuple(float(value) for value in config["std"])

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Normalized images [B, 3, H, W] -> features [B, h, w, D]."""
        height, width = images.shape[-2:]
        if height % self.stride or width % self.stride:
            raise ValueError(f"images must be multiples of {self.stride}, got {height}x{width}")
        seen: list[Any] = []
        handle = self._tap(seen.append)
        try:
            self.model.forward_features(images)
        finally:
            handle.remove()
        grid = (height // self.patch_size, width // self.patch_size)
        try:
            tokens = as_tokens(seen[0], self.plan, batch=len(images), grid=grid)
        except (NoGridError, IndexError) as error:
            raise UserError(
                f"spectral.feature {self.feature} of block {self.block} of {self.name} is no grid "
                f"of patches: {error}"
            ) from error
        return tokens.reshape(len(images), *grid, -1)

    @torch.inference_mode()
    def pooled(self, images: Tensor) -> Tensor:
        """What the model itself makes of whole images (its class token, or its mean): [B, D]."""
        return self.model.forward_head(self.model.forward_features(images), pre_logits=True)


def _tap_of(
    block: nn.Module, feature: Kind, name: str
) -> Callable[[Callable[[Any], None]], torch.utils.hooks.RemovableHandle]:
    """What hands the feature to a callback in the next forward pass, until it is removed."""

    def after(module: nn.Module) -> Callable:
        return lambda keep: module.register_forward_hook(lambda _m, _i, output: keep(output))

    if feature == "token":
        return after(block)
    attention: Any = getattr(block, "attn", None)
    if attention is None:
        raise UserError(
            f"spectral.feature {feature}: the blocks of {name} have no attention; use "
            "--spectral.feature token"
        )
    if feature == "output":
        return after(attention)
    project = projection(attention, feature)
    if project is None:
        raise UserError(
            f"spectral.feature {feature}: the attention of {name} has neither qkv nor "
            f"{feature[0]}_proj; use --spectral.feature token"
        )
    return lambda keep: attention.register_forward_pre_hook(
        lambda _m, inputs: keep(project(inputs[0]))
    )


def load_block_features(config: BackboneConfig, spectral: Spectral) -> BlockFeatures:
    """The recipe's backbone with its weights, on the CPU, in evaluation mode.

    Raises:
        UserError: an unknown name, a model without what is asked, or weights that do not fit.
    """
    path = resolve_weights(config)
    model = create_model(config.name, from_hub=path is None)
    if path is not None:
        load_weights(model, path, name=config.name)
    return BlockFeatures(
        model,
        name=config.name,
        feature=spectral.feature,
        block=spectral.block,
        stage=spectral.stage,
    )
