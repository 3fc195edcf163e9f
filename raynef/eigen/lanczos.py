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

_LOST = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Of a column's length (those of A V are at most about 1): below, what is left is rounding."""
_CHUNK = 1024  # rows of a QR within a cache


@dataclass(frozen=True)
class Ritz:
    """Approximate eigenpairs of B symmetric matrices.

    Attributes:
        values: descending, [B, k].
        vectors: orthonormal columns, [B, n, k].
        residuals: ‖A v - μ v‖, measured with one more product, [B, k].
        num_products: of A with a block.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    num_products: int


def largest_eigenpairs(
    matmul: Callable[[Tensor], Tensor],
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
        matmul: product with [B, n, b].
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
        values, coefficients = torch.linalg.eigh(projected)
        values, coefficients = values.flip(-1), coefficients.flip(-1)
        if basis.shape[-1] >= num_pairs:
            # A V = V T + next·rest on the last block, so this is the residual but for rounding.
            error = (rest @ coefficients[:, -block:, :num_pairs]).norm(dim=1)
            if bool((error <= tolerance).all()) or products >= max_products:
                break
        if basis.shape[-1] + block > max_basis:
            keep = min(num_pairs + block, basis.shape[-1] - block)
            basis = basis @ coefficients[..., :keep]
            projected = torch.diag_embed(values[:, :keep])
        basis = torch.cat([basis, following], dim=-1)
    values, vectors = values[:, :num_pairs], basis @ coefficients[..., :num_pairs]
    residuals = (matmul(vectors) - vectors * values[:, None, :]).norm(dim=1)
    return Ritz(values, vectors, residuals, products + 1)


def _extended(projected: Tensor, column: Tensor) -> Tensor:
    """T with the rows and columns of the last block, from basisᵀ A last: [B, m, b]."""
    old, block = projected.shape[-1], column.shape[-1]
    grown = column.new_empty((len(column), old + block, old + block))
    grown[:, :old, :old] = projected
    grown[:, :, old:] = column
    grown[:, old:, :old] = column[:, :old].mT
    corner = column[:, old:]
    grown[:, old:, old:] = (corner + corner.mT) / 2
    return grown


def _orthonormal(
    block: Tensor, bases: list[Tensor], random_block: Callable[[], Tensor]
) -> tuple[Tensor, Tensor]:
    """Columns orthonormal to one another and to the bases, spanning the block beside them.

    Where the block holds nothing new in a direction (an eigenspace is exhausted), a random vector
    takes its place, with a factor of 0.

    Returns:
        Q [B, n, b] and R [B, b, b], with block = Q R + (a part within the bases).
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
        return torch.linalg.qr(block)
    chunks = -(-size // _CHUNK)
    padded = torch.nn.functional.pad(block, (0, 0, 0, chunks * _CHUNK - size))
    columns, factors = torch.linalg.qr(padded.view(images, chunks, _CHUNK, width))
    inner, factor = torch.linalg.qr(factors.flatten(1, 2))
    columns = columns @ inner.view(images, chunks, width, width)
    return columns.flatten(1, 2)[:, :size], factor
