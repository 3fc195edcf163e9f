"""Block Lanczos with full orthogonalisation and thick restart: the largest eigenpairs of a matrix.

A product with a block of b vectors takes hardly longer than one with a single vector, the basis is
kept orthonormal to rounding, and an eigenvalue is found as often as it occurs, up to b times (a
single vector would meet each eigenspace once). Where the basis is full, the best Ritz vectors and
the next block start the next one (Wu and Simon, SIAM J. Matrix Anal. 2000).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from raynef.core.typed import eigh, norm, qr

_LOST = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Of a column's length (those of A V are at most about 1): below, what is left is rounding."""
_CHUNK = 1024  # rows of a QR within a cache

Matmul = Callable[[Tensor], Tensor]
"""Product of each image's matrix with a block of vectors, [B, n, b] -> [B, n, b]."""


@dataclass(frozen=True)
class Ritz:
    """Approximate eigenpairs of B symmetric matrices."""

    values: Tensor  # descending, [B, k]
    vectors: Tensor  # orthonormal columns, [B, n, k]
    residuals: Tensor  # ‖A v - μ v‖, measured with one more product, [B, k]
    num_products: int  # of A with a block

    @classmethod
    def measured(cls, matmul: Matmul, values: Tensor, vectors: Tensor, num_products: int) -> "Ritz":
        """With the residuals of these pairs."""
        residuals = norm(matmul(vectors) - vectors * values[:, None, :], 1)
        return cls(values, vectors, residuals, num_products + 1)


def descending_pairs(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """All eigenpairs of symmetric [B, m, m], the largest first: [B, m] and [B, m, m]."""
    values, vectors = eigh(matrices)
    return values.flip(-1), vectors.flip(-1)


def largest_eigenpairs(
    matmul: Matmul,
    known: Tensor,
    *,
    num_pairs: int,
    mask: Tensor,
    tolerance: float,
    block: int = 12,
    max_basis: int | None = None,
    max_products: int = 500,
    seed: int = 0,
) -> Ritz:
    """The largest eigenpairs of B symmetric n×n matrices beside those that are known.

    Needs at least ``num_pairs + 3·block`` dimensions beside the known ones.

    Args:
        known: orthonormal eigenvectors that are not looked for, [B, n, c].
        num_pairs: k.
        mask: 1 where a coordinate may differ from 0, else 0, [B, n, 1].
        tolerance: of the residuals; ‖A‖ is taken to be about 1.
        block: b, vectors of one product.
        max_basis: vectors that are held before a restart.
        max_products: after which the pairs are returned as they are.
        seed: of the first block.
    """
    generator = torch.Generator().manual_seed(seed)
    size = known.shape[1]
    max_basis = max_basis or num_pairs + 10 * block

    def random_block() -> Tensor:
        drawn = torch.randn(size, block, generator=generator, dtype=torch.float64)
        return drawn.to(known) * mask

    start = random_block().expand(len(known), -1, -1)
    basis = _orthonormal(start, [known], random_block)[0]
    projected = basis.new_zeros((len(known), 0, 0))  # basisᵀ A basis
    products = 0
    while True:
        last = basis[..., -block:]
        image = matmul(last)
        products += 1
        projected = _extended(projected, basis.mT @ image)
        following, rest = _orthonormal(image, [known, basis], random_block)
        values, coefficients = descending_pairs(projected)
        if basis.shape[-1] >= num_pairs:
            # A V = V T + next·rest on the last block, so this is the residual but for rounding.
            error = norm(rest @ coefficients[:, -block:, :num_pairs], 1)
            if bool((error <= tolerance).all()) or products >= max_products:
                break
        if basis.shape[-1] + block > max_basis:
            keep = min(num_pairs + block, basis.shape[-1] - block)
            basis = basis @ coefficients[..., :keep]
            projected = torch.diag_embed(values[:, :keep])
        basis = torch.cat([basis, following], dim=-1)
    vectors = basis @ coefficients[..., :num_pairs]
    return Ritz.measured(matmul, values[:, :num_pairs], vectors, products)


def _extended(projected: Tensor, column: Tensor) -> Tensor:
    """T with the rows and columns of the last block, from basisᵀ A last: [B, m, b]."""
    old = projected.shape[-1]
    corner = column[:, old:]
    above, left = column[:, :old], column[:, :old].mT
    rows = [torch.cat([projected, above], -1), torch.cat([left, (corner + corner.mT) / 2], -1)]
    return torch.cat(rows, 1)


def _orthonormal(
    block: Tensor, bases: list[Tensor], random_block: Callable[[], Tensor]
) -> tuple[Tensor, Tensor]:
    """Columns orthonormal to one another and to the bases, spanning the block beside them.

    Q [B, n, b] and R [B, b, b], with block = Q R + (a part within the bases). Where the block holds
    nothing new in a direction (an eigenspace is exhausted), a random vector takes its place, with
    a factor of 0.
    """
    for basis in bases:
        block = block - basis @ (basis.mT @ block)
    columns, factor = _qr(block)
    lost = factor.diagonal(dim1=-2, dim2=-1).abs() < _LOST[block.dtype]
    if bool(lost.any()):
        columns = torch.where(lost[:, None, :], random_block(), columns)
        factor = torch.where(lost[:, :, None], 0, factor)
    for _ in range(3 if bool(lost.any()) else 1):  # twice is enough, but not for random columns
        for basis in bases:
            columns = columns - basis @ (basis.mT @ columns)
        columns, again = _qr(columns)
        signs = again.diagonal(dim1=-2, dim2=-1).sign()
        columns = columns * torch.where(signs == 0, 1, signs)[:, None, :]
    return columns, factor


def _qr(block: Tensor) -> tuple[Tensor, Tensor]:
    """QR of [B, n, b]; where it is tall, of chunks first and then of their factors.

    At 300,000 rows this takes a tenth of the time, and loses less to rounding.
    """
    images, size, width = block.shape
    if size <= 8 * _CHUNK:
        return qr(block)
    chunks = -(-size // _CHUNK)
    padded = torch.nn.functional.pad(block, (0, 0, 0, chunks * _CHUNK - size))
    columns, factors = qr(padded.view(images, chunks, _CHUNK, width))
    inner, factor = qr(factors.flatten(1, 2))
    columns = columns @ inner.view(images, chunks, width, width)
    return columns.flatten(1, 2)[:, :size], factor
