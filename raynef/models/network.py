"""A segmentation network: a backbone that learns, and DeepLab's head on its last features.

Deep Spectral Methods train one on their own segments (arXiv:2205.07839, supplement, Sec. 1).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynef.core.draws import torch_seeded
from raynef.core.errors import UserError
from raynef.features.fallback import completed
from raynef.features.taps import NoGridError, as_tokens, last_features, plan_of, recording, taps_of

_GROUPS = 32


class SegmentationNetwork(nn.Module):
    """Images in, a label for each pixel out.

    Args:
        model: timm's, with its weights, without a classifier.
        num_labels: L.
        frozen: leading blocks that stay as they are (of a pyramid its stages, the stem among
            them), with all that precedes them.

    Raises:
        UserError: a model without a patch grid, or with fewer blocks.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any, num_labels: int, *, frozen: int, seed: int = 0) -> None:
        super().__init__()
        try:
            self.plan = plan_of(model)
        except NoGridError as error:
            raise UserError(f"the backbone yields no patch grid: {error}") from error
        self.model = model
        freeze(model, frozen)
        with torch_seeded("selftrain", seed):
            self.head = deeplab_head(self.plan.dim, num_labels)
        config = model.pretrained_cfg
        self.register_buffer("mean", torch.tensor(config["mean"])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(config["std"])[:, None, None], persistent=False)

    @property
    def stride(self) -> int:
        """What the sides of an image must be multiples of, in pixels."""
        return self.plan.patch_size

    def forward(self, images: Tensor) -> Tensor:
        """RGB in [0, 1], [B, 3, H, W] -> logits at the size of the images, [B, L, H, W]."""
        size = images.shape[-2:]
        with recording(taps_of(self.plan, keys=False)) as seen, completed(images.device):
            output = self.model.forward_features((images - self.mean) / self.std)
        grid = (size[0] // self.stride, size[1] // self.stride)
        last = last_features(output, seen, self.plan)
        tokens = as_tokens(last, self.plan, batch=len(images), grid=grid)
        maps = tokens.transpose(1, 2).reshape(len(images), -1, *grid)
        return functional.interpolate(
            self.head(maps), size=size, mode="bilinear", align_corners=False
        )

    def train(self, mode: bool = True) -> "SegmentationNetwork":
        """Training mode, but for the backbone's batch norms: small batches would spoil them."""
        super().train(mode)
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm):
                module.eval()
        return self


def deeplab_head(in_dim: int, num_labels: int) -> nn.Module:
    """DeepLab v3's head, with group norms and no dropout.

    A batch norm and a mask would depend on which worker holds which crops.
    """
    from torchvision.models.segmentation.deeplabv3 import (  # pyright: ignore[reportMissingTypeStubs]
        DeepLabHead,
    )

    return _of_each_image_alone(DeepLabHead(in_dim, num_labels))


def _of_each_image_alone(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(_GROUPS, child.num_features))
        elif isinstance(child, nn.Dropout):
            setattr(module, name, nn.Identity())
        else:
            _of_each_image_alone(child)
    return module


def freeze(model: Any, count: int) -> None:
    """Freeze a timm model up to and with its block (or stage) ``count - 1``; nothing for 0.

    Raises:
        UserError: there are fewer.
    """
    stages = [stage["module"] for stage in model.feature_info]
    if not 0 <= count <= len(stages):
        raise UserError(
            f"selftrain.frozen is {count}, but the backbone has {len(stages)} blocks or stages"
        )
    if not count:
        return
    # In the order of their registration, which is that of the forward pass.
    names = [name for name, _ in model.named_parameters()]
    inside = [name.startswith(f"{stages[count - 1]}.") for name in names]
    last = max((index for index, found in enumerate(inside) if found), default=-1)
    if last < 0:  # a stage that ends in an activation, such as a ResNet's stem
        following = stages[count] if count < len(stages) else None
        later = [i for i, name in enumerate(names) if following and name.startswith(following)]
        last = (later[0] if later else len(names)) - 1
    for _, parameter in list(model.named_parameters())[: last + 1]:
        parameter.requires_grad_(False)
