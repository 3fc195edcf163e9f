"""Which device a user names, and what Apple's GPUs (mps) lack, which is computed beside them."""

import os
from typing import Literal

import torch
from torch import Tensor

from raynef.core.errors import UserError

CPU = torch.device("cpu")
DEVICE = "RAYNEF_DEVICE"
"""Environment variable that names the device of networks: cpu, cuda or mps."""

Kind = Literal["cpu", "cuda", "mps"]
KINDS: tuple[Kind, ...] = ("cpu", "cuda", "mps")


def wanted_device() -> Kind | None:
    """What RAYNEF_DEVICE names; None where it is not set. Raises UserError: no such device."""
    named = os.environ.get(DEVICE, "")
    for kind in KINDS:
        if named == kind:
            return kind
    if named:
        raise UserError(f"{DEVICE} must be cpu, cuda or mps, got {named!r}")
    return None


def allows_cuda() -> bool:
    """Whether CUDA's GPUs may be used; errors as of ``wanted_device``."""
    return wanted_device() in (None, "cuda")


def beside(device: torch.device) -> torch.device:
    """Where all that is no network is computed, beside a network on ``device``.

    There too, except beside mps, which has no float64, no CSR matrices, little linear algebra, and
    divides 64-bit integers as floats: graph, objective, spectra and upsampling are then the CPU's.
    """
    return CPU if device.type == "mps" else device


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """On a device; to a GPU it goes while the host goes on."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # where it is pinned, as it is


def wait_for(device: torch.device) -> None:
    """Until a device has done what it was given: a GPU runs behind."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
