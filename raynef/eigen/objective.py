"""The objective of Eqs. 5 to 7 with its closed-form gradient: one product κu a step.

With u = ψ / max(‖ψ‖₂, 1) column by column (the L2 batch norm over the global batch), Y = κu and
R = uᵀY:

    L = -Σ_j R_jj + β_eff Σ_{i<j} R̂_ij²,    R̂ = stop_gradient(u)ᵀ κ u
    ∂L/∂u = Y A,    A = -2I + 2 β_eff triu(R, 1)

and through the norm, where ‖ψ_j‖ > 1: ∂L/∂ψ_j = (∂L/∂u_j - u_j (u_jᵀ ∂L/∂u_j)) / ‖ψ_j‖. Since
uᵀ ∂L/∂u = R A, which every worker has, the backward pass needs no communication at all. Without the
stop_gradient, for ablations, triu(R, 1) is joined by its transpose.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from raynef.core.collectives import Collectives, SingleProcess
from raynef.core.kernel import Kernel


@dataclass(frozen=True)
class ObjectiveTerms:
    """L and what it is made of, each over the global batch."""

    loss: Tensor  # L, a scalar that carries the gradient; loss = penalty - trace
    trace: Tensor  # Σ_j R_jj, how well the clusters agree with the graph (higher is better)
    penalty: Tensor  # β_eff Σ_{i<j} R_ij², how much the clusters repeat each other
    column_norms: Tensor  # ‖ψ_j‖₂, [K]


class _Objective(torch.autograd.Function):
    """Loss and gradient together in the forward pass; the backward pass only scales."""

    @staticmethod
    def forward(
        ctx: Any,
        psi: Tensor,
        kernel: Kernel,
        beta_eff: float,
        stop_gradient: bool,
        collectives: Collectives,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        norms = collectives.all_reduce_sum(psi.square().sum(dim=0)).sqrt()
        scale = norms.clamp_min(1)
        u = psi / scale
        y = kernel.matmul(u, collectives)
        r = collectives.all_reduce_sum(u.T @ y)

        upper = r.triu(1)
        trace, penalty = r.trace(), beta_eff * upper.square().sum()
        weights = 2 * beta_eff * (upper if stop_gradient else upper + upper.T)
        weights.diagonal().fill_(-2)
        along = torch.where(norms > 1, (r * weights.T).sum(dim=1), 0)  # diag(uᵀ ∂L/∂u)
        gradient = (y @ weights).addcmul_(u, along, value=-1).div_(scale)

        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(trace, penalty, norms)
        return penalty - trace, trace, penalty, norms

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return grad_outputs[0] * gradient, None, None, None, None


def eigenfunction_objective(
    psi: Tensor,
    kernel: Kernel,
    *,
    beta_eff: float,
    stop_gradient: bool = True,
    collectives: Collectives | None = None,
) -> ObjectiveTerms:
    """The scalar L of Eqs. 5 to 7 (arXiv:2304.02841), without the factor 1/K, and its terms.

    Args:
        psi: this worker's Gumbel-softmax probabilities, before the L2 norm, which this function
            applies and differentiates, [n, K].
        kernel: this worker's share of κ over the same rows.
        beta_eff: weight of the orthogonality term, 0.01·β.
        stop_gradient: through the first factor of R̂, as the paper has it.

    Returns:
        L of the global batch, the same on every worker. Its gradient is that of this worker's
        rows: summed (not averaged) over workers, parameter gradients are those of one process.

    Collectives: sums of K norms and of K×K, a gather and a reduce-scatter of [N, K]; none backward.
    """
    if psi.ndim != 2 or psi.shape[0] != kernel.num_rows:
        raise ValueError(
            f"psi must be [{kernel.num_rows}, K], a row for each patch of the kernel, "
            f"got {list(psi.shape)}"
        )
    if beta_eff < 0:
        raise ValueError(f"parameter beta_eff must be >= 0, got {beta_eff}")
    if psi.dtype not in (torch.float32, torch.float64):
        psi = psi.float()
    if psi.dtype != kernel.half.dtype:
        raise ValueError(f"psi is {psi.dtype}, but the kernel is {kernel.half.dtype}")
    with torch.autocast(psi.device.type, enabled=False):
        return ObjectiveTerms(
            *_Objective.apply(psi, kernel, beta_eff, stop_gradient, collectives or SingleProcess())
        )


def eigenfunction_loss(
    psi: Tensor,
    kernel: Kernel,
    *,
    beta_eff: float,
    stop_gradient: bool = True,
    collectives: Collectives | None = None,
) -> Tensor:
    """L of ``eigenfunction_objective`` alone."""
    return eigenfunction_objective(
        psi, kernel, beta_eff=beta_eff, stop_gradient=stop_gradient, collectives=collectives
    ).loss


def default_beta(num_eigenfunctions: int) -> float:
    """β of the paper for K outputs: β·K = 20.48 (0.08 at 256, 0.04 at 512)."""
    return 20.48 / num_eigenfunctions


def effective_beta(beta: float | None, num_eigenfunctions: int) -> float:
    """β_eff = 0.01·β, what the published code computes; β None is the paper's for K."""
    return 0.01 * (default_beta(num_eigenfunctions) if beta is None else beta)
