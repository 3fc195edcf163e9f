"""The small ViT that is bundled: timm's VisionTransformer behind a convolutional stem.

Early convolutions let a ViT learn from few images what a plain 16 x 16 patch embedding needs
many for (Xiao et al., arXiv:2106.14881). Everything else is timm's, so that whatever taps a timm
ViT taps this one.
"""

from typing import Any

from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

PATCH_SIZE = 16
EMBED_DIM = 192  # that of ViT-Ti, whose tokens are regressed as they are
DEPTH = 4
NUM_HEADS = 3
GRID_BLOCKS = 3  # residual convolutions at stride 16, before the attention
STEM_WIDTHS = (32, 64, 128)  # channels at strides 2, 4 and 8
PADDING_MODE = "replicate"  # zeros would tell every patch how far it is from the image's edge
MEAN = STD = (0.5, 0.5, 0.5)


class ConvBlock(nn.Module):
    """A residual block of ConvNeXt's kind: depthwise, then two pointwise; [B, C, h, w] -> same."""

    def __init__(self, width: int, *, kernel: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(
            width, width, kernel, padding=kernel // 2, groups=width, padding_mode=PADDING_MODE
        )
        self.norm = nn.GroupNorm(1, width)  # of each image alone: a batch changes nothing
        self.widen = nn.Conv2d(width, 3 * width, 1)
        self.act = nn.GELU()
        self.narrow = nn.Conv2d(3 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(self.act(self.widen(self.norm(self.spread(x)))))


class ConvStem(PatchEmbed):
    """timm's patch embedding with small convolutions for the one of 16 x 16.

    Images [B, 3, H, W] -> a grid of H/16 x W/16 patches in the format that timm asks for: four
    3 x 3 convolutions of stride 2, then residual blocks on the grid. Patches see beyond their
    borders.
    """

    def __init__(
        self,
        *,
        patch_size: int = PATCH_SIZE,
        in_chans: int = 3,
        embed_dim: int = EMBED_DIM,
        bias: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            patch_size=patch_size, in_chans=in_chans, embed_dim=embed_dim, bias=bias, **options
        )
        if self.patch_size != (PATCH_SIZE, PATCH_SIZE):
            raise ValueError(f"the stem's patch size is {PATCH_SIZE}, got {self.patch_size}")
        half: dict[str, Any] = {"stride": 2, "padding": 1, "padding_mode": PADDING_MODE}
        layers: list[nn.Module] = []
        previous = in_chans
        for width in STEM_WIDTHS:
            layers += [
                nn.Conv2d(previous, width, 3, bias=False, **half),
                nn.GroupNorm(1, width),  # of each image alone: a batch changes nothing
                nn.GELU(),
            ]
            previous = width
        layers.append(nn.Conv2d(previous, embed_dim, 3, bias=bias, **half))
        layers += [ConvBlock(embed_dim, kernel=7) for _ in range(GRID_BLOCKS)]
        self.proj = nn.Sequential(*layers)


def create_student(*, img_size: int | tuple[int, int] = 224) -> VisionTransformer:
    """``raynef_vit_micro_patch16`` with weights of its own initialization.

    Images [B, 3, H, W] in [-1, 1], any multiples of 16 -> ``forward_features`` [B, h·w, 192]:
    patch tokens after the final norm, row-major, without a class token. ``img_size`` is that of the
    position embeddings' grid in pixels; other sizes resample them.
    """
    model = VisionTransformer(
        img_size=img_size,
        patch_size=PATCH_SIZE,
        embed_dim=EMBED_DIM,
        depth=DEPTH,
        num_heads=NUM_HEADS,
        num_classes=0,
        class_token=False,
        global_pool="avg",
        fc_norm=False,  # else timm moves the final norm behind the pooling
        dynamic_img_size=True,
        embed_layer=ConvStem,
    )
    model.pretrained_cfg = {  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        "input_size": (3, 224, 224),
        "mean": MEAN,
        "std": STD,
        "num_classes": 0,
        "first_conv": "patch_embed.proj.0",
    }
    return model
