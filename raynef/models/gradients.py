"""The gradient of the global batch: the sum, not the mean, of what every worker has of it."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from raynef.core.collectives import Collectives
from raynef.core.typed import split

_BUCKET_BYTES = {"cuda": 8 << 20}
"""Of gradients that go at once, by the kind of device; elsewhere all of them do."""


class GradientSum:
    """Sums the gradients of some parameters over the workers, in buckets.

    A bucket goes as soon as the backward pass has its last gradient, and those behind it wait their
    turn, so that every worker sends them in one order. On a GPU all but the last are on their way
    while the pass goes on. A CPU has no cores to spare for that: there one bucket holds them all.

    Args:
        parameters: that are trained, in the order of the forward pass.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], collectives: Collectives) -> None:
        self._collectives = collectives
        self._buckets = _buckets(list(parameters))
        self._missing: list[set[int]] = []  # of each bucket, places whose gradient is to come
        self._begun: list[Callable[[], Tensor]] = []
        if collectives.world_size > 1:
            for number, bucket in enumerate(self._buckets):
                for place, parameter in enumerate(bucket):
                    parameter.register_post_accumulate_grad_hook(  # pyright: ignore[reportUnknownMemberType]
                        self._told(number, place)
                    )

    def backward(self, loss: Tensor) -> None:
        """``loss.backward()`` of this worker's part; afterwards gradients are those of the whole.

        Collectives: among several workers one sum a bucket.
        """
        self._missing = [set(range(len(bucket))) for bucket in self._buckets]
        self._begun = []
        torch.autograd.backward(loss)
        if self._collectives.world_size == 1:
            return
        for missing in self._missing:  # what the loss does not depend on has no gradient
            missing.clear()
        self._begin()
        for bucket, ended in zip(self._buckets, self._begun, strict=True):
            parts = split(ended(), [parameter.numel() for parameter in bucket])
            for parameter, part in zip(bucket, parts, strict=True):
                _gradient(parameter).copy_(part.view_as(parameter))

    def _told(self, number: int, place: int) -> Callable[[Tensor], None]:
        def told(_parameter: Tensor) -> None:
            self._missing[number].discard(place)
            self._begin()

        return told

    def _begin(self) -> None:
        """Send the buckets that are complete, up to the first that is not."""
        while len(self._begun) < len(self._buckets) and not self._missing[len(self._begun)]:
            bucket = self._buckets[len(self._begun)]
            whole = torch.cat([_gradient(parameter).flatten() for parameter in bucket])
            self._begun.append(self._collectives.begin_sum(whole))


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _buckets(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The parameters from the last to the first, in runs of about so many bytes as go at once."""
    buckets: list[list[nn.Parameter]] = []
    held = most = 0
    for parameter in reversed(parameters):
        if not buckets or held >= most:
            most, held = _BUCKET_BYTES.get(parameter.device.type, 1 << 62), 0
            buckets.append([])
        buckets[-1].insert(0, parameter)
        held += parameter.numel() * parameter.element_size()
    return buckets
