"""Soft layers of an image from its eigenvectors, and what is made of them.

arXiv:2205.07839 leaves open how eigenvectors become layers. Here they do as in *Spectral Matting*
(Levin, Rav-Acha and Lischinski, PAMI 2008): of all linear combinations α_k = E y_k that sum to one
at each pixel, those that are as near to 0 and 1 as possible,

    minimize Σ_k Σ_i |α_ik|^γ + |1 - α_ik|^γ      subject to Σ_k α_k = 1,      γ < 1,

from the clusters of K-means on. Each step solves the quadratic problem whose terms touch those of
the cost at the present α; |x| is held above a small number, so that the cost falls at every step.

One departure: E's rows are scaled to unit length first, as those of Ng, Jordan and Weiss (NeurIPS
2001). At full resolution an eigenvector may be 30 times its mean square at a few hundred pixels of
a corner, K-means on it finds such corners, and no combination is near 1 on a whole object.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.vq import vq
from torch import Tensor

from raynef.assign.kmeans import tightest_clusters
from raynef.core.typed import eigh, inverse, norm, solve

_RANK = 1e-4  # of the vectors' length: directions in which they differ by less are dropped
_SAMPLE = 20_000  # pixels that K-means looks at
_ROUNDS = 30  # of it
_DIGITS = 6  # to which two pixels are the same to it


@dataclass(frozen=True)
class Sparsity:
    """How layers are driven towards 0 and 1, by terms (x² + ε²)^(γ/2).

    Steps of reweighted least squares are few, because the cost is least of all where one layer has
    every pixel: after 20 steps of five layers of a photograph two are left.
    """

    power: float = 0.8  # γ
    smallest: float = 1e-2  # ε
    num_steps: int = 5


def soft_layers(
    vectors: Tensor,
    *,
    num_layers: int,
    sparsity: Sparsity | None = None,
    num_starts: int = 5,
    seed: int = 0,
) -> Tensor:
    """Layers in [0, 1] that sum to one at each pixel, the largest first.

    At last what lies below 0 becomes 0, and the layers of a pixel are divided by their sum. Where
    fewer clusters can be told apart than layers, the layers that are left over are 0 but for ε; a
    layer may also be taken over by another on the way.

    Args:
        vectors: eigenvectors of the image, [N, k]; the constant one may be among them.
        num_layers: m.
        num_starts, seed: of K-means, of which the tightest run is taken.

    Returns:
        float32 [m, N].

    Raises:
        ValueError: fewer than one layer, or vectors that are not finite.
    """
    if num_layers < 1:
        raise ValueError(f"parameter num_layers must be >= 1, got {num_layers}")
    if not bool(vectors.isfinite().all()):
        raise ValueError("soft layers need finite eigenvectors, got NaN or infinity")
    sparsity = sparsity or Sparsity()
    rows = _orthogonal(vectors.detach().double().cpu())
    rows = rows / norm(rows, 1, keepdim=True)
    labels = _clusters(rows.numpy(), num_layers, num_starts=num_starts, seed=seed)
    basis = _orthogonal(rows)
    indicators = torch.nn.functional.one_hot(torch.as_tensor(labels), num_layers)
    alpha = basis @ (basis.T @ indicators.double() / len(basis))  # the nearest combination
    for _ in range(sparsity.num_steps):
        alpha = basis @ sparser(basis, alpha, sparsity)
    alpha = alpha.clamp_min(0)
    alpha = alpha / alpha.sum(dim=1, keepdim=True)  # which is >= 1: α summed to 1 before
    order = alpha.sum(dim=0).argsort(descending=True, stable=True)
    return alpha[:, order].T.float().contiguous()


def sparser(basis: Tensor, alpha: Tensor, sparsity: Sparsity) -> Tensor:
    """One step: the combinations that minimize the quadratic problem at the present layers.

    With u and v the weights of α² and (1 - α)², layer k has the matrix W_k = Eᵀ(u_k + v_k)E and
    the right side b_k = Eᵀv_k. Stationary under Σ y_k = e, E e = 1, are y_k = W_k⁻¹(b_k + μ) with
    one multiplier μ for all layers.

    Args:
        basis: E, [N, d], orthogonal, with first the constant 1.
        alpha: [N, m].

    Returns:
        y, [d, m].
    """
    zero, one = (
        (x.square() + sparsity.smallest**2).pow(sparsity.power / 2 - 1) for x in (alpha, 1 - alpha)
    )
    matrices = torch.stack([basis.T @ (weight[:, None] * basis) for weight in (zero + one).T])
    sides = (basis.T @ one).T[..., None]  # [m, d, 1]
    inverses = inverse(matrices)
    free = inverses @ sides
    whole = torch.zeros_like(free[0])
    whole[0] = 1
    multiplier = solve(inverses.sum(dim=0), whole - free.sum(dim=0))
    return (free + inverses @ multiplier)[..., 0].T


def rgba_layer(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """A layer to put over others: the image's colors, opaque where α is 1.

    uint8 [H, W, 3] and [H, W] in [0, 1] -> uint8 [H, W, 4]; colors are not multiplied by α.
    ValueError for sizes that differ.
    """
    if image.shape[:2] != alpha.shape:
        raise ValueError(
            f"alpha must be of the image's size {image.shape[:2]}, got {tuple(alpha.shape)}"
        )
    opacity = np.rint(np.clip(alpha, 0, 1) * 255).astype(np.uint8)
    return np.concatenate([image, opacity[..., None]], axis=-1)


def _orthogonal(vectors: Tensor) -> Tensor:
    """Orthogonal columns of mean square 1 that span the vectors, and first the constant 1."""
    size = len(vectors)
    lengths = norm(vectors, 0)
    varying = vectors - vectors.mean(dim=0)
    rest = norm(varying, 0)
    varying = (varying / rest)[:, rest > _RANK * lengths]
    values, directions = eigh(varying.T @ varying)
    kept = values > _RANK**2
    columns = varying @ (directions[:, kept] * (size / values[kept]).sqrt())
    return torch.cat([torch.ones((size, 1), dtype=vectors.dtype), columns.flip(-1)], dim=1)


def _clusters(points: np.ndarray, num_clusters: int, *, num_starts: int, seed: int) -> np.ndarray:
    """K-means' labels of points [N, d], int64 [N], the tightest of several runs.

    Where no more points than clusters differ, each is one.
    """
    generator = np.random.default_rng(seed)
    sample = points[generator.permutation(len(points))[:_SAMPLE]]
    distinct = np.unique(sample.round(_DIGITS), axis=0)
    if len(distinct) <= num_clusters:
        return vq(points, distinct)[0].astype(np.int64)
    options = {"iterations": _ROUNDS, "starts": num_starts}
    labels = tightest_clusters(sample, num_clusters, **options, draws=generator, everyone=points)
    return labels.astype(np.int64)
