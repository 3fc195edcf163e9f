"""One feature of one block of a frozen timm model, as Deep Spectral Methods take them.

The paper's own is the last block's attention keys; Tables 6, 8 and 9 (arXiv:2205.07839) vary what
is taken and from where.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.config.recipe import Spectral
from raynef.core.errors import UserError
from raynef.features.backbone import FrozenModel, load_model
from raynef.features.fallback import completed
from raynef.features.taps import (
    NoGridError,
    Tap,
    as_tokens,
    output_of,
    plan_of,
    projected,
    recording,
)

Kind = Literal["key", "query", "value", "output", "token"]


class BlockFeatures(FrozenModel):
    """A frozen model that yields one feature of one block.

    Attributes:
        patch_size: P, pixels of a patch's side; of a pyramid the stride of the stage.
        stride: what the sides of an image must be multiples of.
        dim: D.

    Raises:
        UserError: a block that there is not, or one without what is asked of it.
    """

    def __init__(
        self, model: Any, *, name: str, feature: Kind, block: int = -1, stage: int | None = None
    ) -> None:
        super().__init__(model, name)
        try:
            self.plan = plan_of(model, stage)
        except NoGridError as error:
            raise UserError(f"backbone {name!r} yields no patch grid: {error}") from error
        count = len(self.plan.blocks)
        if not -count <= block < count:
            raise UserError(
                f"spectral.block {block}: {name} has {count} blocks, 0 to {count - 1} "
                "or from the end -1, -2, …"
            )
        self.feature, self.block = feature, block % count
        self._tap = _tap_of(self.plan.blocks[self.block], feature, name)
        self.dim, self.patch_size = self.plan.dim, self.plan.patch_size
        self.stride = plan_of(model).patch_size

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Normalized images [B, 3, H, W] -> features [B, h, w, D]."""
        height, width = images.shape[-2:]
        if height % self.stride or width % self.stride:
            raise ValueError(f"images must be multiples of {self.stride}, got {height}x{width}")
        grid = (height // self.patch_size, width // self.patch_size)
        try:
            with recording({"feature": self._tap}) as seen, completed(images.device):
                self.model.forward_features(images)
            tokens = as_tokens(seen["feature"], self.plan, batch=len(images), grid=grid)
        except NoGridError as error:
            raise UserError(
                f"spectral.feature {self.feature} of block {self.block} of {self.name} is no grid "
                f"of patches: {error}"
            ) from error
        return tokens.reshape(len(images), *grid, -1)

    @torch.inference_mode()
    def pooled(self, images: Tensor) -> Tensor:
        """What the model itself makes of whole images (its class token, or its mean): [B, D]."""
        with completed(images.device):
            return self.model.forward_head(self.model.forward_features(images), pre_logits=True)


def _tap_of(block: nn.Module, feature: Kind, name: str) -> Tap:
    attention: Any = getattr(block, "attn", None)
    if feature != "token" and attention is None:
        raise UserError(
            f"spectral.feature {feature}: the blocks of {name} have no attention; use "
            "--spectral.feature token"
        )
    if feature == "token" or feature == "output":
        return output_of(block if feature == "token" else attention)
    tap = projected(attention, feature)
    if tap is None:
        raise UserError(
            f"spectral.feature {feature}: the attention of {name} has neither qkv nor "
            f"{feature[0]}_proj; use --spectral.feature token"
        )
    return tap


def load_block_features(config: BackboneConfig, spectral: Spectral) -> BlockFeatures:
    """The recipe's backbone with its weights, on the CPU, in evaluation mode.

    Raises:
        UserError: an unknown name, a model without what is asked, or weights that do not fit.
    """
    return BlockFeatures(
        load_model(config),
        name=config.name,
        feature=spectral.feature,
        block=spectral.block,
        stage=spectral.stage,
    )
