"""Work that a thread does one step ahead of who takes its results."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def one_ahead(jobs: Iterable[Callable[[], T]]) -> Iterator[T]:
    """The results of the jobs, in order: while one is used, a thread makes the next."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: list[Future[T]] = []
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > 1:
                yield waiting.pop(0).result()
        yield from (last.result() for last in waiting)
