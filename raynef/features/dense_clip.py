"""Patches of a CLIP-like ViT in the space of its texts, without training.

Only the class token of CLIP was trained to lie near captions. Two ways give each patch a feature
that is comparable with texts; both end after the attention of the last block, without its residual
and its MLP, with the final norm and the visual projection:

* *values* (MaskCLIP, arXiv:2112.01071): the last block's values of the patch itself.
* *neighborhood* (NACLIP, arXiv:2404.08181): values averaged by an attention of keys with keys, plus
  a Gaussian over the grid, so that a patch looks at what is like it and near it.
"""

from typing import Any, Literal

import torch
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torch.nn import functional

from raynef.core.errors import UserError

Attention = Literal["values", "neighborhood"]

_SIGMA = 5.0
"""Of the Gaussian, in patches; as NACLIP's."""


class DenseClip(nn.Module):
    """The visual tower of a model of open_clip, as a model of timm's that ``Backbone`` takes.

    ``feature_info`` names three stages that all hand on the same: such features are of one block,
    and each tap is them.

    Args:
        visual: with OpenAI's architecture: a ViT of residual blocks, whose output is projected.
        name: in errors.
        attention: see above.

    Raises:
        UserError: another architecture.
    """

    num_prefix_tokens = 0

    def __init__(self, visual: Any, *, name: str, attention: Attention) -> None:
        super().__init__()
        _require_vit(visual, name)
        self.visual = visual
        self.attention: Attention = attention
        side, width = int(visual.patch_size[0]), int(visual.proj.shape[1])
        self.patch_size = side
        self.stages = nn.ModuleList(nn.Identity() for _ in range(3))
        self.feature_info = [
            {"module": f"stages.{i}", "num_chs": width, "reduction": side} for i in range(3)
        ]
        pixels = visual.preprocess_cfg
        self.pretrained_cfg = {
            "mean": pixels["mean"],
            "std": pixels["std"],
            "input_size": (3, *visual.image_size),
        }

    def forward_features(self, images: Tensor) -> Tensor:
        """Normalized images [B, 3, H, W] -> patches in the space of texts [B, h·w, E]."""
        visual = self.visual
        patches = visual.conv1(images)
        grid = (patches.shape[2], patches.shape[3])
        tokens = patches.flatten(2).transpose(1, 2)
        # Not len(tokens): by that an export would fix the number of images.
        first = visual.class_embedding.to(tokens.dtype).expand(tokens.shape[0], 1, -1)
        places = resample_abs_pos_embed(
            visual.positional_embedding[None], list(grid), list(visual.grid_size)
        )
        tokens = visual.ln_pre(torch.cat([first, tokens], dim=1) + places.to(tokens.dtype))
        *blocks, last = visual.transformer.resblocks
        for block in blocks:
            tokens = block(tokens)
        found = attended(last.ln_1(tokens), last.attn, grid, self.attention)
        features = visual.ln_post(found) @ visual.proj
        for stage in self.stages:
            features = stage(features)
        return features


def attended(
    tokens: Tensor, layer: nn.MultiheadAttention, grid: tuple[int, int], attention: Attention
) -> Tensor:
    """What comes out of an attention layer in place of its own: patches [B, h·w, D].

    Args:
        tokens: that go into the layer, the class token first, [B, 1 + h·w, D].
        layer: its values, keys and last projection are used.
        grid: (h, w).
        attention: values alone, or an average of them over the neighborhood.
    """
    width, bias = layer.embed_dim, layer.in_proj_bias
    values = functional.linear(tokens, layer.in_proj_weight[2 * width :], bias[2 * width :])
    if attention == "neighborhood":
        part = slice(width, 2 * width)
        keys = functional.linear(tokens, layer.in_proj_weight[part], bias[part])
        keys, values = (_by_head(x, layer.num_heads) for x in (keys, values))
        # The class token is as near to all: its row and column are zero.
        nearness = functional.pad(neighborhood(grid, device=tokens.device), (1, 0, 1, 0))
        values = functional.scaled_dot_product_attention(
            keys, keys, values, attn_mask=nearness.to(keys.dtype)
        )
        values = values.transpose(1, 2).flatten(2)
    return layer.out_proj(values)[:, 1:]


def neighborhood(grid: tuple[int, int], *, device: torch.device | None = None) -> Tensor:
    """exp(−d² / 2σ²) of every two patches of a grid (h, w), d patches apart: [h·w, h·w]."""
    rows, columns = (torch.arange(side, device=device).float() for side in grid)
    places = torch.cartesian_prod(rows, columns).reshape(-1, 2)
    square = (places[:, None] - places[None]).square().sum(dim=-1)
    return torch.exp(-square / (2 * _SIGMA**2))


def _by_head(tokens: Tensor, num_heads: int) -> Tensor:
    return tokens.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def _require_vit(visual: Any, name: str) -> None:
    """Raises UserError where dense features are not defined."""
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
    parts = ("conv1", "class_embedding", "positional_embedding", "ln_pre", "ln_post")
    fits = (
        blocks is not None
        and isinstance(getattr(blocks[-1], "attn", None), nn.MultiheadAttention)
        and all(hasattr(visual, part) for part in parts)
        and isinstance(getattr(visual, "proj", None), Tensor)
        and getattr(visual, "attn_pool", None) is None
        and not getattr(visual, "final_ln_after_pool", False)
    )
    if not fits:
        raise UserError(
            f"{name} has not OpenAI's visual transformer, of which patches are compared with "
            "texts; ViT-B-32, ViT-B-16 and ViT-L-14 have"
        )
    if visual.patch_size[0] != visual.patch_size[1]:
        raise UserError(f"the patches of {name} are not square")
