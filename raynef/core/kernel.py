"""The kernel κ of Eq. 4 as one sparse structure, of which a worker holds its share."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from raynef.core.collectives import Collectives, SingleProcess
from raynef.core.typed import sparse_csr_tensor


@dataclass(frozen=True)
class Kernel:
    """κ = Σ over workers of (P M + (P M)ᵀ), with M this worker's directed, normalized half.

    κ's two parts are symmetric, so each directed edge is kept once, by the worker that owns its
    row: M = ½(D^-½ S D^-½ + α D̃^-½ Ã D̃^-½) restricted to the worker's rows, S the directed
    (top-k) feature affinity and Ã the symmetric pixel adjacency. P places the rows in the batch.
    """

    half: Tensor  # M as sparse CSR, [n, N]
    half_t: Tensor  # Mᵀ likewise, [N, n]: the same edges, sorted by column once per batch
    counts: list[int] = field(default_factory=list[int])  # rows of every worker; Σ counts = N
    rank: int = 0  # whose rows ``half`` holds

    @property
    def num_rows(self) -> int:
        """n, the rows of this worker."""
        return self.half.shape[0]

    @property
    def num_patches(self) -> int:
        """N, the rows of the global batch."""
        return self.half.shape[1]

    def matmul(self, local: Tensor, collectives: Collectives | None = None) -> Tensor:
        """This worker's rows of Y = κu, [n, K], from its rows of u.

        Collectives, needed when the batch is spread: one gather and one reduce-scatter of [N, K].
        """
        collectives = collectives or SingleProcess()
        gathered = collectives.all_gather_rows(local, self.counts)
        to_everyone = self.half_t @ local
        return self.half @ gathered + collectives.reduce_scatter_rows(to_everyone, self.counts)

    def to_csr(self) -> scipy.sparse.csr_matrix:
        """κ of Eq. 4 as SciPy CSR, [N, N]. Raises ValueError on one slice of a spread batch."""
        if len(self.counts) > 1:
            raise ValueError(
                f"Kernel.to_csr needs the whole batch, got rank {self.rank}'s slice of "
                f"{len(self.counts)} workers; build the kernel in one process instead"
            )
        half = _to_scipy(self.half)
        return (half + half.T).tocsr()


def _to_scipy(matrix: Tensor) -> scipy.sparse.csr_matrix:
    parts = (matrix.values(), matrix.col_indices(), matrix.crow_indices())
    data, indices, indptr = (np.asarray(part.detach().cpu()) for part in parts)
    return scipy.sparse.csr_matrix((data, indices, indptr), shape=tuple(matrix.shape))


def from_scipy(matrix: scipy.sparse.csr_array, device: torch.device | None = None) -> Tensor:
    """SciPy's CSR as torch's, of the same precision."""
    matrix.sort_indices()
    parts = (matrix.indptr, matrix.indices, matrix.data)
    crow, columns, values = (torch.as_tensor(part, device=device) for part in parts)
    rows, width = matrix.shape
    return csr(crow, columns, values, (rows, width))


def csr(crow: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A sparse CSR tensor with 32-bit indices (half the memory of 64-bit ones)."""
    return sparse_csr_tensor(
        crow.to(torch.int32), columns.to(torch.int32), values, shape, check_invariants=False
    )


def transposed(matrix: Tensor) -> Tensor:
    """The transpose of a CSR tensor as CSR: the same edges, sorted by column."""
    rows, columns = matrix.shape
    if matrix.device.type == "cpu":  # SciPy's counting sort takes a fifth of torch's time here
        return from_scipy(_to_scipy(matrix).T.tocsr())
    csc = matrix.to_sparse_csc()
    return csr(csc.ccol_indices(), csc.row_indices(), csc.values(), (columns, rows))
