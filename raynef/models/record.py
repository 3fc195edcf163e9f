"""What a training step did, in numbers."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

_COUNTS = ("columns_below_1", "clusters_in_use")


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What a step did, over the global batch; without one valid patch in it, only that.

    ``loss`` is L, or the mean cross-entropy in nats, by ``eigen.objective``; ``trace`` and
    ``penalty`` are those of ``ObjectiveTerms``.
    """

    step: int
    epoch: int
    loss: float = 0.0
    trace: float | None = None  # this and the next two of eigenfunctions alone
    penalty: float | None = None
    columns_below_1: int | None = None  # clusters with ‖ψ_j‖ < 1, which the L2 batch norm leaves
    tau: float
    lr: float
    patches: int = 0  # N
    clusters_in_use: int = 0  # those that hold a patch
    entropy: float = 0.0  # mean of softmax(logits), in nats
    cross_entropy: float | None = None  # with ``train.leak_labels`` alone

    def as_dict(self) -> dict[str, float]:
        """A line of steps.jsonl."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Terms:
    """Numbers of a step on their way from a device, in one copy, while it goes on.

    Args:
        terms: a number each, by the names of ``StepRecord``.
    """

    def __init__(self, terms: dict[str, Tensor]) -> None:
        self._names = tuple(terms)
        values = torch.stack([term.detach().float() for term in terms.values()])
        self._come: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._values = torch.empty(values.shape, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._come = torch.cuda.Event()
            self._come.record()
        else:
            self._values = values.cpu()

    def numbers(self) -> dict[str, Any]:
        """By name; waits for them, and for nothing that the device was given after them."""
        if self._come is not None:
            self._come.synchronize()
        return {
            name: int(value) if name in _COUNTS else float(value)
            for name, value in zip(self._names, self._values.numpy(), strict=True)
        }
