"""Weights that stay orthonormal while they are trained, as products of Householder reflections."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from raynef.core.devices import beside
from raynef.core.typed import qr, solve_triangular


def keep_orthonormal(layer: nn.Linear) -> None:
    """Keep the rows of a layer's weight [K, D], K ≤ D, orthonormal from now on.

    The rows at first are those of the weight as it is, made orthonormal one after another; the
    basis is completed by draws of torch's generator.
    """
    num_rows, dim = layer.weight.shape
    if num_rows > dim:
        raise ValueError(f"{num_rows} rows of {dim} numbers cannot be orthonormal")
    parametrize.register_parametrization(layer, "weight", Orthonormal(), unsafe=True)


class Orthonormal(nn.Module):
    """Free parameters [K, D] to a matrix [K, D] with orthonormal rows.

    Row k of the parameters holds, right of the diagonal, the vector vₖ of a reflection
    I − τₖ vₖ vₖᵀ, τₖ = 2 / |vₖ|², whose k-th element is 1. The matrix is the first K columns of
    B · H₁ ⋯ H_K, transposed, where B [D, D] is a fixed orthogonal matrix: the one at first, as all
    vₖ are then unit vectors. The diagonal of the parameters holds signs and is not trained.

    The product is taken at once in its compact form, H₁ ⋯ H_K = I − V U⁻¹ Vᵀ with
    U = striu(VᵀV) + ½ diag(VᵀV) (Joffrain et al., 2006, "Accumulating Householder
    transformations, revisited"): a dozen matrix operations, forward and backward, for any K. It is
    made in full precision, whatever surrounds it.
    """

    base: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("base", None)

    def forward(self, parameters: Tensor) -> Tensor:
        """[K, D] -> [K, D]."""
        with torch.autocast(parameters.device.type, enabled=False):
            num_rows = parameters.shape[0]
            v = parameters.triu(1).T + torch.eye(*parameters.T.shape).to(parameters)  # [D, K]
            gram = v.T @ v
            inner = gram.triu(1) + 0.5 * torch.diag(gram.diagonal())
            host = beside(parameters.device)
            top = solve_triangular(inner.to(host), v[:num_rows].T.to(host), upper=True).to(v)
            columns = self.base[:, :num_rows] - (self.base @ v) @ top
            return (columns * parameters.diagonal().detach().sign()).T

    @torch.no_grad()
    def right_inverse(self, weight: Tensor) -> Tensor:
        """Take a matrix [K, D] as the one at first; its parameters."""
        num_rows, dim = weight.shape
        drawn = torch.randn((dim, dim - num_rows), dtype=weight.dtype, device=weight.device)
        q, r = qr(torch.cat((weight.T, drawn), dim=1))
        self.base = q * r.diagonal().sign()
        parameters = torch.zeros_like(weight)
        parameters.fill_diagonal_(-1.0)  # a reflection at a unit vector turns its sign
        return parameters
