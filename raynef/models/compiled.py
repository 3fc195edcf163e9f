"""ψ's trunk compiled by torch for the shapes of a training: ``train.compile``."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from raynef.core.errors import UserError
from raynef.eigen.psi import Psi

Trunk = Callable[[Tensor, Tensor | None, tuple[int, int]], Tensor]
"""As ``Psi.features``."""


def trunk_in_training(psi: Psi, device: torch.device, *, compiled: bool) -> Trunk:
    """``psi.features``, or the same compiled: on a GPU as one CUDA graph each way, which launches
    nothing kernel by kernel, on a CPU by Inductor.

    Every step has the shapes of the first, so that it is compiled once. The weights stay ψ's own.

    Raises:
        UserError: at the first step, where torch cannot compile here (no C++ compiler, no Triton).
    """
    if not compiled:
        return psi.features
    from torch._dynamo.exc import TorchDynamoException  # seconds to load

    options: dict[str, Any] = {
        "layout_optimization": False,  # Inductor's own fails on the gradient of a replicated edge
        "triton.cudagraphs": device.type == "cuda",
    }
    made = cast("Trunk", torch.compile(psi.features, dynamic=False, options=options))

    def features(taps: Tensor, valid: Tensor | None, grid: tuple[int, int]) -> Tensor:
        if valid is None:  # once with padding and once without would be compiled twice
            valid = taps.new_ones((taps.shape[0], taps.shape[2]), dtype=torch.bool)
        if device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        try:
            return made(taps, valid, grid)
        except TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"train.compile True: torch cannot compile ψ here ({reason}); leave it out"
            ) from error

    return features
