"""An Apple GPU that is pretended: tensors that say they are on mps and are computed on the CPU.

What the real one refuses is refused: float64, CSR matrices, most of linear algebra, antialiased
resizing (as before torch 2.8), and operands on two devices. No Mac is needed, and none is proven.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

MPS = torch.device("mps")
_INSIDE = torch.device("meta")
"""What torch's own code sees: autograd asks after a device, and would look for mps in vain."""
_MISSING = ("linalg_", "geqrf", "sparse", "bilinear2d_aa", "bicubic2d_aa", "unique")
_THERE = ("linalg_vector_norm",)
_BETWEEN = ("_to_copy", "copy_", "index", "index_put_", "_index_put_impl_")
"""Operations whose operands may be on two devices."""


class OnMps(Tensor):
    """Says that it is on mps; ``held`` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnMps":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=_INSIDE,
        )
        made.held = held
        return made

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        return MPS

    @property
    def is_meta(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return False

    def __reduce_ex__(self, proto: Any) -> Any:
        return self.held.__reduce_ex__(proto)

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"OnMps({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, [])


class FakeMps(TorchDispatchMode):
    """Makes tensors of those that are sent to mps; ``calls`` names what was computed there."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, self.calls)


class _Sending(TorchFunctionMode):
    """Tensors that are sent to mps, which torch would look for a library for."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.tensor and _is_mps(kwargs.get("device") or "cpu"):
            return _to(func(*args, **{**kwargs, "device": "cpu"}), None)
        if func is not Tensor.to:
            return func(*args, **kwargs)
        values, *where = args
        if where and isinstance(where[0], Tensor):
            where = [where[0].device, where[0].dtype]
        inner: Any = torch._C
        device, dtype, *_ = inner._nn._parse_to(*where, **kwargs)
        if (device or values.device).type != "mps":
            return func(*args, **kwargs)
        return _to(values, dtype)


def _to(values: Tensor, dtype: torch.dtype | None) -> Tensor:
    if isinstance(values, OnMps) and dtype in (None, values.dtype):
        return values
    dtype = dtype or values.dtype
    return torch.ops.aten._to_copy.default(values, dtype=dtype, device=_INSIDE)


def _is_mps(device: Any) -> bool:
    return torch.device(device).type in ("mps", "meta")


def _run(func: Any, args: Any, kwargs: dict[str, Any], calls: list[str]) -> Any:
    given = [x for x in _pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    on_mps = any(isinstance(x, OnMps) for x in given)
    device = kwargs.get("device")
    to_mps = on_mps if device is None else _is_mps(device)
    name = func._schema.name.removeprefix("aten::")
    if on_mps or to_mps:
        _refuse(name, to_mps and kwargs.get("dtype") == torch.float64, given)
        calls.append(name)
    if device is not None and to_mps:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    plain = _pytree.tree_map_only(OnMps, lambda x: x.held, (args, kwargs))
    found = func(*plain[0], **plain[1])
    if name.endswith("_") and isinstance(args[0], Tensor):
        return args[0]
    if "out" in kwargs:
        return kwargs["out"]
    return _pytree.tree_map_only(Tensor, _sent, found) if to_mps else found


def _sent(values: Tensor) -> Tensor:
    if values.dtype == torch.float64:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
    return OnMps(values)


def _refuse(name: str, is_double: bool, given: list[Tensor]) -> None:
    if is_double:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
    missing = any(part in name for part in _MISSING) and name not in _THERE
    if missing or any(x.layout != torch.strided for x in given):
        raise NotImplementedError(f"The operator 'aten::{name}' is not currently implemented")
    apart = {isinstance(x, OnMps) for x in given if x.ndim}
    if len(apart) > 1 and name not in _BETWEEN:
        raise RuntimeError(f"{name}: Expected all tensors to be on the same device, cpu and mps")


@contextlib.contextmanager
def fake_mps(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMps]:
    """Within the block torch has an Apple GPU, which a process of its own is to use."""
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    with monkeypatch.context() as patch, FakeMps() as mode, _Sending():
        patch.setattr(torch.backends.mps, "is_available", functools.cache(lambda: True))
        patch.setattr(torch.mps, "synchronize", lambda: None)
        patch.setattr(torch._C, "_InferenceMode", lambda _: torch.no_grad())  # not for such tensors
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor sends what it made of numbers
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            yield mode
        finally:
            torch._C._set_only_lift_cpu_tensors(False)
            torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
