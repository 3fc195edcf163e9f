"""A segmenter as one function of tensors, which other runtimes can take over."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynef.models.segmenter import Segmenter


class ExportedSegmenter(nn.Module):
    """Images in, clusters out: a segmenter's whole pass, but for its resizing of photographs.

    Args:
        segmenter: its backbone and head, which are shared, not copied.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.features: Callable[[Tensor], Tensor] = segmenter.backbone.taps
        self.model, self.head = segmenter.backbone.model, segmenter.head
        self.patch = segmenter.backbone.patch_size
        self.side = segmenter.backbone_config.input_size
        for name in ("mean", "std"):
            values = torch.tensor(getattr(segmenter.backbone, name))[:, None, None]
            self.register_buffer(name, values, persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """RGB images of one size, uint8 [N, H, W, 3], at the segmenter's ``short_side``.

        Where ``backbone.input_size`` is set they are squares.

        Returns:
            logits of patches, float32 [N, h, w, K], h and w rounded up; and the cluster of each
            pixel, int32 [N, H, W].
        """
        height, width = images.shape[1], images.shape[2]
        unit = images.permute(0, 3, 1, 2).float() / 255
        if self.side is not None:
            size = (self.side, self.side)
            unit = functional.interpolate(unit, size=size, mode="bicubic", antialias=True)
            unit = (unit * 255).round().clamp(0, 255) / 255  # as an image of bytes would be
        down, across = -unit.shape[2] % self.patch, -unit.shape[3] % self.patch
        padded = functional.pad(unit, (0, across, 0, down), mode="replicate")
        taps = self.features((padded - self.mean) / self.std)
        grid = (padded.shape[2] // self.patch, padded.shape[3] // self.patch)
        logits = self.head(taps, grid=grid).unflatten(1, grid)
        maps = logits.permute(0, 3, 1, 2)
        if self.side is not None:
            return logits, _argmax(maps, (height, width))
        clusters = _argmax(maps, (grid[0] * self.patch, grid[1] * self.patch))
        # Not a slice: of that torch would ask whether it is one at all, and fix the answer.
        device = clusters.device
        rows, columns = (torch.arange(side, device=device) for side in (height, width))
        return logits, clusters.index_select(1, rows).index_select(2, columns)


def _argmax(maps: Tensor, size: tuple[Any, Any]) -> Tensor:
    """Of maps [N, K, h, w] at the size of pixels, int32 [N, *size]."""
    upsampled = functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    return upsampled.argmax(dim=1).to(torch.int32)


def exported_program(segmenter: Segmenter) -> torch.export.ExportedProgram:
    """The graph of ``ExportedSegmenter`` for images of any number and size.

    Raises:
        Exception: of torch, on a backbone or head that cannot be traced.
    """
    side, patch = segmenter.short_side, segmenter.backbone.patch_size
    # What the example's sizes have in common is fixed: so it is two images, padded on both sides.
    high, wide = side // patch * patch + 1, side // patch * patch + patch + 3
    if segmenter.backbone_config.input_size is not None:
        wide = high
    example = torch.zeros((2, high, wide, 3), dtype=torch.uint8)
    auto = torch.export.Dim.AUTO
    with torch.no_grad():
        return torch.export.export(
            ExportedSegmenter(segmenter).eval(),
            (example,),
            dynamic_shapes={"images": {0: auto, 1: auto, 2: auto}},
            strict=False,
        )
