"""What mathematics may ask of other workers: collectives over slices of the global batch.

Workers hold consecutive slices of the rows, in rank order, of possibly different lengths. The
distributed implementation lives in ``raynef.cluster.collectives``; one process alone is the same
protocol with a world of one, so that there is no second code path.
"""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor


class Collectives(Protocol):
    """The rank, the size of the world, and sums and gathers over it."""

    rank: int
    world_size: int

    def all_gather_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        """Concatenate every worker's ``rows [n, ...]`` in rank order: ``[N, ...]``.

        ``counts``: rows of every worker.
        """
        ...

    def all_reduce_sum(self, value: Tensor) -> Tensor:
        """The sum of ``value`` over the workers, on each of them."""
        ...

    def begin_sum(self, value: Tensor) -> Callable[[], Tensor]:
        """``all_reduce_sum`` on its way, of a ``value`` that is no longer used: what ends it."""
        ...

    def reduce_scatter_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        """Sum ``rows [N, ...]`` over the workers; return this worker's ``[counts[rank], ...]``."""
        ...


class SingleProcess:
    """One process that holds the whole global batch."""

    rank = 0
    world_size = 1

    def all_gather_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        return rows

    def all_reduce_sum(self, value: Tensor) -> Tensor:
        return value

    def begin_sum(self, value: Tensor) -> Callable[[], Tensor]:
        return lambda: value

    def reduce_scatter_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        return rows
