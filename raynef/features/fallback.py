"""What a network asks of an Apple GPU that torch has not written for it is computed on the CPU.

torch does so itself where PYTORCH_ENABLE_MPS_FALLBACK is set before it is imported; nobody is asked
to. Backbones are timm's: which of their functions are missing depends on model and torch.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree

logger = logging.getLogger("raynef")

_SAID: set[str] = set()


def completed(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Within the block functions that are missing on ``device`` are computed on the CPU."""
    return _OnCpu() if device.type == "mps" else contextlib.nullcontext()


class _OnCpu(TorchFunctionMode):
    """Calls that a device has no kernel for are made again with their tensors on the CPU."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        try:
            return func(*args, **kwargs)
        except NotImplementedError:
            given = [x for x in _pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            device = next((x.device for x in given if x.device.type != "cpu"), None)
            if device is None:
                raise
        name = getattr(func, "__name__", str(func))
        if name not in _SAID:
            _SAID.add(name)
            logger.info("%s is not there on %s: it is computed on the CPU", name, device.type)
        on_cpu, named = _moved((args, kwargs), torch.device("cpu"))
        found = _moved(func(*on_cpu, **named), device)
        in_place = name.endswith("_") and not name.endswith("__")
        return args[0].copy_(found) if in_place else found


def _moved(values: Any, device: torch.device) -> Any:
    return _pytree.tree_map_only(Tensor, lambda tensor: tensor.to(device), values)
