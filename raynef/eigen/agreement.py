"""How well some functions on a graph solve the eigenproblem that exact eigenvectors solve.

For a symmetric κ and any N×K matrix U, the Ritz values (eigenvalues of QᵀκQ with Q an orthonormal
basis of U's columns) are at most κ's own largest eigenvalues, one by one (Courant-Fischer); they
are equal where the columns span the same space.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raynef.core.typed import eigvalsh, singular_values, svd
from raynef.eigen.lanczos import largest_eigenpairs

_RANK = 1e-9  # of the largest singular value: below, a direction is not there


@dataclass(frozen=True)
class Agreement:
    """Functions of rank m beside the exact eigenvectors of the same graph."""

    exact: Tensor  # κ's largest eigenvalues, descending, [m]
    ritz: Tensor  # the functions' Ritz values, descending, [m]
    cosines: Tensor  # of the principal angles between both spaces, descending, [m]
    captured: Tensor  # share of each exact eigenvector within the functions' space, ‖Qᵀv‖², [m]
    rayleigh: Tensor  # uᵀκu / uᵀu of each function as it is, [K]; 0 for one that is 0
    eigenvectors: Tensor  # the exact ones, [N, m]


def agreement(
    matmul: Callable[[Tensor], Tensor], functions: Tensor, *, tolerance: float = 1e-5
) -> Agreement:
    """Compare functions U, [N, K] with K well below N, with the exact eigenvectors.

    ``matmul`` is the product of κ with [N, b], ``tolerance`` of the exact pairs' residuals.
    """
    functions = functions.double()
    image = matmul(functions)
    squares = functions.square().sum(dim=0)
    rayleigh = (functions * image).sum(dim=0) / torch.where(squares > 0, squares, 1)
    left, singular, _ = svd(functions, full_matrices=False)
    basis = left[:, singular > _RANK * singular.max().clamp_min(1e-300)]
    ritz = eigvalsh(basis.T @ matmul(basis)).flip(0)
    rank = basis.shape[1]
    found = largest_eigenpairs(
        lambda block: matmul(block[0])[None],
        functions.new_zeros((1, len(functions), 0)),
        num_pairs=rank,
        mask=functions.new_ones((1, len(functions), 1)),
        tolerance=tolerance,
        block=max(12, rank // 4),
        max_basis=3 * rank + 60,
    )
    overlap = basis.T @ found.vectors[0]
    return Agreement(
        exact=found.values[0],
        ritz=ritz,
        cosines=singular_values(overlap).clamp(0, 1),
        captured=overlap.square().sum(dim=0).clamp(0, 1),
        rayleigh=rayleigh,
        eigenvectors=found.vectors[0],
    )
