"""A frozen timm ViT that yields patch features of block 0, block n/2 and the last.

Grid, prefix tokens, mean and standard deviation follow from the model. Any crop that is a
multiple of the patch size works: timm resamples the position embeddings.
"""

import difflib
import math
from collections.abc import Callable
from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn

from raynef.core.errors import UserError
from raynef.core.recipe import BUNDLED_BACKBONE
from raynef.core.recipe import Backbone as BackboneConfig
from raynef.features.student import create_student
from raynef.features.weights import load_weights, resolve_weights

NUM_TAPS = 3  # block 0, block n/2, last


class Backbone(nn.Module):
    """A frozen ViT with its taps.

    Attributes:
        name: timm's name.
        dim: D, features of a patch.
        patch_size: P, pixels of a patch's side.
        mean, std: of the model's own input normalisation, on pixels in [0, 1].
    """

    def __init__(self, model: Any, *, name: str, tap: Literal["norm", "keys"]) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.name, self.tap = name, tap
        self.dim: int = model.embed_dim
        self.patch_size = int(model.patch_embed.patch_size[0])
        self.num_prefix_tokens = int(getattr(model, "num_prefix_tokens", 0))
        config = model.pretrained_cfg
        self.mean = tuple(float(value) for value in config["mean"])
        self.std = tuple(float(value) for value in config["std"])

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, H, W] -> taps [B, 3, h·w, D], row-major over the grid."""
        height, width = images.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"images must be multiples of the patch size {self.patch_size}, "
                f"got {height}x{width}"
            )
        blocks = self.model.blocks
        seen: dict[str, Tensor] = {}
        handles = [
            blocks[0].register_forward_hook(_keep(seen, "first")),
            blocks[len(blocks) // 2].register_forward_hook(_keep(seen, "middle")),
        ]
        if self.tap == "keys":
            handles.append(_hook_keys(blocks[-1].attn, seen))
        try:
            seen["norm"] = self.model.forward_features(images)
        finally:
            for handle in handles:
                handle.remove()
        # The first two always come before any norm, the last after it.
        parts = [seen["first"], seen["middle"], seen[self.tap]]
        tokens = (height // self.patch_size) * (width // self.patch_size)
        return torch.stack([part[:, -tokens:] for part in parts], dim=1)


def _keep(seen: dict[str, Tensor], key: str) -> Callable[..., None]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen[key] = output[0] if isinstance(output, tuple) else output

    return hook


def _hook_keys(attention: Any, seen: dict[str, Tensor]) -> Any:
    """Keep the keys of one attention layer, heads side by side: [B, tokens, D]."""
    if isinstance(getattr(attention, "qkv", None), nn.Linear):

        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            seen["keys"] = output.chunk(3, dim=-1)[1]

        return attention.qkv.register_forward_hook(hook)
    if isinstance(getattr(attention, "k_proj", None), nn.Linear):
        return attention.k_proj.register_forward_hook(_keep(seen, "keys"))
    raise UserError("backbone.tap keys: this backbone's attention has no qkv or k_proj layer")


def load_backbone(config: BackboneConfig) -> Backbone:
    """The recipe's backbone with its weights, on the CPU, in evaluation mode.

    Raises:
        UserError: an unknown name, a model without a patch grid, or weights that do not fit.
    """
    path = resolve_weights(config)
    model = create_model(config.name, from_hub=path is None)
    if path is not None:
        load_weights(model, path)
    return Backbone(model, name=config.name, tap=config.tap)


def create_model(name: str, *, from_hub: bool = False) -> Any:
    """A timm ViT that accepts any multiple of its patch size, without a classifier."""
    if name == BUNDLED_BACKBONE:
        return create_student()
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=5, cutoff=0.5)
        hint = f"; similar: {', '.join(near)}" if near else ""
        raise UserError(f"backbone.name {name!r} is not a timm model{hint}")
    try:
        model = timm.create_model(name, pretrained=from_hub, num_classes=0, dynamic_img_size=True)
    except TypeError as error:
        raise _no_grid(name) from error
    except Exception as error:
        if from_hub:
            raise UserError(
                f"the weights of {name} could not be fetched from the hub ({error}); without "
                "network give a local file: --backbone.weights FILE.safetensors"
            ) from error
        raise UserError(f"backbone {name!r} cannot be made: {error}") from error
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if patch is None or not hasattr(model, "blocks") or not math.isclose(patch[0], patch[1]):
        raise _no_grid(name)
    return model


def _no_grid(name: str) -> UserError:
    return UserError(
        f"backbone {name!r} yields no patch grid; ViTs do, for example vit_small_patch16_384, "
        "vit_small_patch16_224.dino or deit_tiny_patch16_224"
    )
