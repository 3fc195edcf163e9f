"""Exact eigenpairs of the normalized graph Laplacian of an image (arXiv:2205.07839, Sec. 3.2).

The smallest of L = D^-½(D - W)D^-½ are 1 less the largest of D^-½WD^-½, which needs no
factorization: only products with W.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from raynef.core.affinity import Affinity
from raynef.core.typed import norm, qr
from raynef.eigen.lanczos import Matmul, Ritz, descending_pairs, largest_eigenpairs

_BLOCK = 12  # vectors of one product
_TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-4}
_ROUGH = 1e-5  # the same where a lower precision than W's is to find the pairs, and
_ENOUGH = 2e-5  # what then W's own may measure


@dataclass(frozen=True)
class Eigenpairs:
    """The smallest eigenpairs of L y = λ D y for B graphs of n nodes.

    Vectors are orthonormal in the D metric (yᵀDy = 1), and the first is constant. The side of the
    sign that has fewer nodes is positive. A node of degree 0 is isolated, and every vector 0 there.
    """

    values: Tensor  # λ, ascending from 0, in [0, 2], [B, k]
    vectors: Tensor  # y, [B, n, k]
    residuals: Tensor  # ‖D^-½WD^-½ v - (1 - λ) v‖ with v = D^½ y, [B, k]
    degrees: Tensor  # D, [B, n]


def smallest_eigenpairs(
    weights: Affinity,
    num_pairs: int,
    *,
    solver: Literal["lanczos", "dense"] = "lanczos",
    tolerance: float | None = None,
    products: torch.dtype | None = None,
    seed: int = 0,
) -> Eigenpairs:
    """The smallest eigenpairs of the normalized Laplacian, λ = 0 among them.

    Defined for every graph: of one node there is one pair; where a graph has several components,
    λ = 0 occurs as often, first with the constant vector; isolated nodes belong to no vector, and
    a graph has at most as many pairs as other nodes. Where λ occurs several times, any basis of
    its space would do; which one is returned follows from ``seed``.

    Args:
        weights: W, symmetric, no entry below 0.
        num_pairs: k >= 1, the constant one included; capped at the nodes that have an edge.
        solver: ``dense`` holds n×n; small graphs are always done so.
        tolerance: of the residuals, for ``lanczos``; 1e-7 by default, 1e-4 where W is float32.
        products: precision of Lanczos' products and basis; W's by default. Where it is lower, one
            product of W's own refines the pairs and measures the residuals; where one is above
            2e-5, the graphs are solved again in W's precision.
    """
    if num_pairs < 1:
        raise ValueError(f"parameter num_pairs must be >= 1, got {num_pairs}")
    degrees = weights.degrees()
    linked = degrees > 0
    num_linked = int(linked.sum(dim=1).min())
    num_pairs = min(num_pairs, max(1, num_linked))
    root = degrees.clamp_min(0).sqrt()[..., None]
    inverse = torch.where(linked[..., None], 1 / root, 0)
    trivial = root / norm(root, 1, keepdim=True).clamp_min(torch.finfo(root.dtype).tiny)

    normalized = _normalized(weights, inverse)

    def lanczos(precision: torch.dtype, tolerance: float, max_products: int) -> Ritz:
        own = precision == degrees.dtype
        return largest_eigenpairs(
            normalized if own else _normalized(_in(weights, precision), inverse.to(precision)),
            trivial.to(precision),
            num_pairs=num_pairs - 1,
            mask=linked[..., None].to(precision),
            tolerance=tolerance,
            block=_BLOCK,
            max_products=max_products,
            seed=seed,
        )

    if num_pairs == 1:
        empty = trivial[..., :0]
        found = Ritz(empty[:, 0], empty, empty[:, 0], 0)
    elif solver == "dense" or num_linked < 2 * num_pairs + 6 * _BLOCK:
        found = _dense(normalized, trivial, linked, num_pairs - 1)
    else:
        found = None
        if products not in (None, degrees.dtype):
            found = _refined(normalized, trivial, lanczos(products, _ROUGH, 200))
        if found is None or not bool((found.residuals <= _ENOUGH).all()):
            own = _TOLERANCE[degrees.dtype] if tolerance is None else tolerance
            found = lanczos(degrees.dtype, own, 500)
    residual = norm(normalized(trivial) - trivial, 1)
    vectors = inverse * torch.cat([trivial, found.vectors], dim=-1)
    return Eigenpairs(
        values=torch.cat([torch.zeros_like(residual), (1 - found.values).clamp_min(0)], dim=-1),
        vectors=with_fixed_signs(vectors, linked),
        residuals=torch.cat([residual, found.residuals], dim=-1),
        degrees=degrees,
    )


def with_fixed_signs(vectors: Tensor, linked: Tensor) -> Tensor:
    """Each vector with the sign that makes fewer nodes positive, [B, n, k] -> [B, n, k].

    The positive side is then the smaller region, which is the foreground (Sec. 3.3). A vector
    that is positive everywhere stays so.
    """
    share = ((vectors > 0) & linked[..., None]).sum(dim=1) / linked.sum(dim=1, keepdim=True)
    nowhere = share == 0  # below 0 everywhere, such as the constant one
    flip = ((share > 0.5) & (share < 1)) | nowhere
    return torch.where(flip[:, None, :], -vectors, vectors)


def _normalized(weights: Affinity, inverse: Tensor) -> Matmul:
    """D^-½ W D^-½, of D^-½ as [B, n, 1]."""
    return lambda vectors: inverse * weights.matmul(inverse * vectors)


def _in(weights: Affinity, precision: torch.dtype) -> Affinity:
    """The same W in another precision."""
    factor = None if weights.factor is None else weights.factor.to(precision)
    return replace(weights, factor=factor, sparse=weights.sparse.to(precision))


def _refined(normalized: Matmul, trivial: Tensor, rough: Ritz) -> Ritz:
    """The best pairs within the space of others (Rayleigh-Ritz), by one product."""
    vectors = rough.vectors.to(trivial)
    basis, _ = qr(vectors - trivial @ (trivial.mT @ vectors))
    image = normalized(basis)
    projected = basis.mT @ image
    values, coefficients = descending_pairs((projected + projected.mT) / 2)
    vectors = basis @ coefficients
    residuals = norm(image @ coefficients - vectors * values[:, None, :], 1)
    return Ritz(values, vectors, residuals, rough.num_products + 1)


def _dense(normalized: Matmul, trivial: Tensor, linked: Tensor, num_pairs: int) -> Ritz:
    """The largest pairs beside the trivial one by a dense solver, image by image."""
    identity = torch.eye(trivial.shape[1], dtype=trivial.dtype, device=trivial.device)
    matrix = normalized(identity.expand(len(trivial), -1, -1))
    # The trivial pair and the isolated nodes go below every eigenvalue (which are >= -1).
    matrix = matrix - 3 * (trivial @ trivial.mT) - torch.diag_embed(5.0 * ~linked)
    values, vectors = descending_pairs((matrix + matrix.mT) / 2)
    return Ritz.measured(normalized, values[:, :num_pairs], vectors[..., :num_pairs], 0)
