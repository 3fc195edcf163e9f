"""Gumbel-softmax with a temperature that falls along a cosine (Sec. 3.5)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from raynef.core.draws import seed_of


def cosine_schedule(step: int, num_steps: int, *, start: float, end: float) -> float:
    """Value at ``step`` of 0 … num_steps - 1: ``start`` at the first, ``end`` at the last."""
    progress = min(1.0, step / max(1, num_steps - 1))
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * progress))


def gumbel_noise(
    num_patches: int, num_eigenfunctions: int, *, seed: int, epoch: int, images: Sequence[int]
) -> Tensor:
    """Standard Gumbel draws [B, h·w, K]: those of an image are the same in an epoch, whichever
    worker holds it and whatever is beside it."""
    uniform = torch.empty((len(images), num_patches, num_eigenfunctions))
    for draws, image in zip(uniform, images, strict=True):
        draws.uniform_(
            generator=torch.Generator().manual_seed(seed_of("gumbel", seed, epoch, image))
        )
    return uniform.clamp_(1e-10, 1 - 1e-7).log_().neg_().log_().neg_()


def gumbel_softmax(
    logits: Tensor, noise: Tensor, temperature: float, *, hard: bool = False
) -> Tensor:
    """Assignments softmax((logits + noise)/τ) in full precision: [..., K] -> [..., K].

    ``hard`` makes them one-hot, with the gradient of the soft ones (straight-through).
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    soft = torch.softmax((logits + noise) / temperature, dim=-1)
    if not hard:
        return soft
    one_hot = torch.zeros_like(soft).scatter_(-1, soft.argmax(dim=-1, keepdim=True), 1.0)
    return one_hot + (soft - soft.detach())
