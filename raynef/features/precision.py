"""In which precision a backbone computes."""

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]
"""Of the products within a backbone, by torch's autocast."""


def usual_precision(device: torch.device) -> Precision:
    """In which a backbone computes on a device where nothing else is asked."""
    return "bfloat16" if device.type == "cuda" else "float32"


def computing_in(precision: Precision, device: torch.device) -> torch.autocast:
    """The products of the block are made in this precision, on any device."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def has_bfloat16(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster on a device than in float32, not slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # AVX-512 at least
