"""Modules whose weights are about to be loaded, made without drawing weights first."""

import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_DRAWS: frozenset[Any] = frozenset(
    (
        *(Tensor.uniform_, Tensor.normal_, Tensor.erfinv_),
        *(nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_),
    )
)
"""What torch asks a mode about: other functions of ``nn.init`` come down to these."""


@contextlib.contextmanager
def unfilled() -> Generator[None]:
    """Within it parameters are not drawn, and hold whatever was there; torch's draws go on after
    it as if it had not been.

    For a module of which every parameter is then loaded, strictly. Drawing takes most of the time
    that a vision transformer takes to be made.
    """
    with torch.random.fork_rng(devices=[]), _NoDraws():  # pyright: ignore[reportUnknownMemberType]
        yield


class _NoDraws(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        if func in _DRAWS:
            drawn = options["tensor"] if "tensor" in options else args[0]
            if isinstance(drawn, nn.Parameter):
                return drawn
        return func(*args, **options)
