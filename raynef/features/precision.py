"""In which precision a frozen backbone computes."""

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
