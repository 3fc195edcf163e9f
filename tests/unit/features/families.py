"""One small member of each family of backbones, every parameter random."""

from dataclasses import dataclass, field
from typing import Any

import timm
import torch


@dataclass(frozen=True)
class Member:
    """A timm model, made smaller by options of its own."""

    name: str
    patch_size: int
    dim: int
    num_prefix: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


THREE = {"depth": 3}
NARROW = {"depth": 3, "embed_dim": 192, "num_heads": 3}

ISOTROPIC = [
    Member("vit_tiny_patch16_384", 16, 192, options=THREE),
    Member("deit_tiny_distilled_patch16_224", 16, 192, 2, THREE),
    Member("deit3_small_patch16_224", 16, 192, options=NARROW),
    Member("vit_small_patch8_224.dino", 8, 192, options=NARROW),
    Member("vit_base_patch16_clip_224.openai", 16, 192, options=NARROW),
    Member("vit_large_patch14_clip_quickgelu_336.openai", 14, 192, options=NARROW),
    Member("vit_small_patch14_dinov2", 14, 192, options=NARROW),
    Member("vit_small_patch14_reg4_dinov2", 14, 192, 5, NARROW),
    Member("vit_small_patch16_dinov3", 16, 192, 5, NARROW),
    Member("vit_tiny_patch16_dinov3_qkvb", 16, 192, 5, THREE),
    Member("vit_tiny_patch16_224", 16, 192, options={"depth": 3, "global_pool": "avg"}),
    Member("eva02_tiny_patch14_224", 14, 192, options=THREE),
    Member("vit_tiny_r_s16_p8_224", 32, 192, options=THREE),
    Member("xcit_nano_12_p16_224", 16, 128),
]
FC_NORM = {"vit_tiny_patch16_224", "eva02_tiny_patch14_224"}

THIN = {"channels": (8, 16, 32, 64)}
PYRAMIDS = [
    Member("resnet18", 32, 64, 0, THIN),
    Member("resnet50", 32, 256, 0, THIN),
    Member("resnet26", 16, 256, 0, {"output_stride": 16, **THIN}),
    Member("convnext_atto", 32, 320, 0),
    Member("efficientnet_b0", 32, 320, 0),
    Member("regnetx_002", 32, 368, 0),
    Member("swin_tiny_patch4_window7_224", 32, 192, 0, {"embed_dim": 24, "dynamic_img_size": True}),
]


def create(member: Member, **options: Any) -> Any:
    """The model, on the CPU, in evaluation mode; LayerScale's 1e-5 would make all blocks alike."""
    options = {"num_classes": 0, **member.options, **options}
    if member in ISOTROPIC and not member.name.startswith("xcit"):
        options["dynamic_img_size"] = True
    model = timm.create_model(member.name, **options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def images_of(height: int, width: int, batch: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn((batch, 3, height, width), generator=torch.Generator().manual_seed(seed))
