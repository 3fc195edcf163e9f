"""Collectives between two or more processes outside a training: whether they work, how fast.

Imports torch alone, for the probe runs in a process that shall load little.
"""

import datetime
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

_GB = 1e9
_PATIENCE_S = 20  # of a collective


def sum_of_ranks(backend: str, rank: int, size: int, folder: str) -> float:
    """The sum of 1 … size, to which this process brings rank + 1."""
    dist.init_process_group(
        backend,
        init_method=f"file://{folder}/meet",  # no port that could be taken
        rank=rank,
        world_size=size,
        timeout=datetime.timedelta(seconds=_PATIENCE_S),
    )
    try:
        value = torch.tensor([rank + 1.0], device=f"cuda:{rank}" if backend == "nccl" else "cpu")
        dist.all_reduce(value)
        return float(value)
    finally:
        dist.destroy_process_group()


def network_rates() -> tuple[float, float]:
    """GB a second that each of two gloo ranks sends while it receives, and seconds of a message.

    Both ranks are threads of this process: it is the loopback of this machine.
    """
    rows = torch.ones(2 << 20)
    results: dict[int, tuple[float, float]] = {}
    store = dist.HashStore()

    def rank(index: int) -> None:
        patience = datetime.timedelta(seconds=30)
        group: Any = dist.ProcessGroupGloo(store, index, 2, patience)  # its methods have no stubs
        everyone, number = torch.empty(2 * rows.numel()), torch.ones(1)

        def gather() -> None:
            group._allgather_base(everyone, rows).wait()

        def message() -> None:
            group.allreduce([number]).wait()

        # Both ranks must call the same number of times: counts, not patience.
        results[index] = (_seconds_of(gather, 10), _seconds_of(message, 50) / 2)

    pair = [threading.Thread(target=rank, args=(index,), daemon=True) for index in range(2)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join(timeout=60)
    if len(results) < 2:
        raise RuntimeError("two gloo ranks on this machine do not hear each other")
    sent = rows.numel() * rows.element_size()
    slowest = max(seconds for seconds, _ in results.values())
    return sent / slowest / _GB, max(seconds for _, seconds in results.values())


def _seconds_of(call: Callable[[], None], count: int) -> float:
    call()
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count
