"""In which precision networks compute."""

import contextlib
import logging
import platform
from collections.abc import Generator
from functools import cache
from typing import Literal

import torch

from raynef.config.sections import AskedPrecision
from raynef.features.attention import BlockAttention

logger = logging.getLogger("raynef")

Precision = Literal["float32", "bfloat16"]
"""Of the products within a network, by torch's autocast."""


def backbone_precision(asked: AskedPrecision, device: torch.device) -> Precision:
    """In which a frozen backbone computes on a device, by ``backbone.precision``."""
    if asked == "auto" and device.type == "cuda":  # whoever asks may have no such GPU himself
        return "bfloat16"
    return "bfloat16" if uses_bfloat16(asked, device, field="backbone.precision") else "float32"


@contextlib.contextmanager
def computing_in(precision: Precision, device: torch.device) -> Generator[None]:
    """The products of the block are made in this precision, on any device."""
    half = precision == "bfloat16"
    attention = BlockAttention() if half and device.type == "cpu" else contextlib.nullcontext()
    with torch.autocast(device.type, torch.bfloat16, enabled=half), attention:
        yield


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 natively.

    Processors without such instructions emulate it, many times slower than float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if platform.machine() in ("aarch64", "arm64"):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def uses_bfloat16(precision: str, device: torch.device, *, field: str = "train.precision") -> bool:
    """Whether products are made in bfloat16 on a device, by the ``field`` that asks for it.

    Where it is asked for: on an Apple GPU from macOS 14 on, before which it has none; where it is
    emulated too, with a warning.
    """
    if precision == "bfloat16":
        if device.type == "cpu" and not has_bfloat16(device):
            _warn_of_emulation(field)
        return device.type != "mps" or torch.backends.mps.is_macos_or_newer(14, 0)
    return precision == "auto" and has_bfloat16(device)


@cache  # once in a process for each field
def _warn_of_emulation(field: str) -> None:
    logger.warning(
        "%s bfloat16: this processor has no such products and emulates them, many times slower "
        "than float32, which auto would take",
        field,
    )
