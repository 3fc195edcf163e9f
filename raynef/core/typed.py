"""Functions that torch gives without annotations, with theirs."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_torch: Any = torch

eigh: Callable[[Tensor], tuple[Tensor, Tensor]] = _torch.linalg.eigh
eigvalsh: Callable[[Tensor], Tensor] = _torch.linalg.eigvalsh
inverse: Callable[[Tensor], Tensor] = _torch.linalg.inv
qr: Callable[[Tensor], tuple[Tensor, Tensor]] = _torch.linalg.qr
sampled_product: Callable[..., Tensor] = _torch.sparse.sampled_addmm
singular_values: Callable[[Tensor], Tensor] = _torch.linalg.svdvals
solve: Callable[[Tensor, Tensor], Tensor] = _torch.linalg.solve
solve_triangular: Callable[..., Tensor] = _torch.linalg.solve_triangular
sparse_csr_tensor: Callable[..., Tensor] = _torch.sparse_csr_tensor
split: Callable[[Tensor, int | list[int]], Sequence[Tensor]] = _torch.split
svd: Callable[..., tuple[Tensor, Tensor, Tensor]] = _torch.linalg.svd
unique: Callable[[Tensor], Tensor] = _torch.unique


def norm(values: Tensor, dim: int, *, keepdim: bool = False) -> Tensor:
    """Euclidean lengths along an axis."""
    return _torch.linalg.vector_norm(values, dim=dim, keepdim=keepdim)
