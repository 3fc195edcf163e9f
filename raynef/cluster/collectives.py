"""Collectives over torch.distributed, for gloo and NCCL alike."""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from raynef.core.collectives import Collectives, SingleProcess


class Distributed:
    """The default process group. Slices may differ in length: gathers are padded to the longest."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()

    def all_gather_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        """Concatenate every worker's rows. Collectives: one gather of the padded rows."""
        longest = max(counts)
        padded = rows.new_zeros((longest, *rows.shape[1:]))
        padded[: rows.shape[0]] = rows
        gathered = rows.new_empty((self.world_size * longest, *rows.shape[1:]))
        dist.all_gather_into_tensor(gathered, padded)
        parts = gathered.split(longest)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def all_reduce_sum(self, value: Tensor) -> Tensor:
        """The sum over workers. Collectives: one all-reduce."""
        total = value.clone()
        dist.all_reduce(total)
        return total

    def begin_sum(self, value: Tensor) -> Callable[[], Tensor]:
        """A sum over workers that goes on beside what follows. Collectives: one all-reduce."""
        work = dist.all_reduce(value, async_op=True)

        def ended() -> Tensor:
            if work is not None:
                work.wait()
            return value

        return ended

    def reduce_scatter_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        """Sum over workers, own rows. Collectives: one reduce-scatter of the padded rows."""
        longest = max(counts)
        padded = rows.new_zeros((self.world_size, longest, *rows.shape[1:]))
        for slot, part in zip(padded, rows.split(counts), strict=True):
            slot[: part.shape[0]] = part
        own = rows.new_empty((longest, *rows.shape[1:]))
        dist.reduce_scatter_tensor(own, padded.flatten(0, 1))
        return own[: counts[self.rank]]


def current_collectives() -> Collectives:
    """Those of the process group, or of one process where there is none."""
    return Distributed() if dist.is_available() and dist.is_initialized() else SingleProcess()
