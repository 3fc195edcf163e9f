"""Which device the networks of this process run on, and why: a CUDA GPU, an Apple GPU or the CPU.

Ray lends GPUs to its workers and actors, of which it knows CUDA's alone: under Ray networks run on
``cuda`` where a GPU was reserved, else on the CPU. A process of its own takes what torch has.
"""

import sys
from dataclasses import dataclass

import torch

from raynef.core.devices import DEVICE, KINDS, Kind, allows_cuda, wanted_device
from raynef.core.errors import UserError


@dataclass(frozen=True)
class Choice:
    """A device by its kind, and why it is that one."""

    kind: Kind
    why: str


def choose_device() -> Choice:
    """The device of this process. Raises UserError where RAYNEF_DEVICE cannot be followed."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": has_mps()}
    wanted = wanted_device()
    if wanted is not None:
        if not there[wanted]:
            have = " and ".join(kind for kind in KINDS if there[kind])
            raise UserError(f"{DEVICE} is {wanted}, but torch has only {have} here; unset it")
        return Choice(wanted, f"{DEVICE} says so")
    if there["cuda"]:
        return Choice("cuda", "torch sees a CUDA GPU")
    if not there["mps"]:
        return Choice("cpu", "torch sees no GPU")
    if _is_actor():
        return Choice("cpu", "Ray does not share out Apple GPUs, and this is one of its processes")
    return Choice("mps", "torch sees an Apple GPU")


def device_here() -> torch.device:
    """The device of this process; errors as of ``choose_device``."""
    return torch.device(choose_device().kind)


def num_cuda() -> int:
    """CUDA GPUs that this process may use."""
    return torch.cuda.device_count() if allows_cuda() else 0


def has_mps() -> bool:
    """Whether torch can compute on an Apple GPU."""
    return torch.backends.mps.is_available()


def _is_actor() -> bool:
    """Whether this process is one of Ray's actors, such as a trial of a sweep."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return False
    return ray.get_runtime_context().get_actor_id() is not None
