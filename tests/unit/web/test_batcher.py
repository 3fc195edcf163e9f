"""Batches are what came meanwhile: nobody waits for others, and nothing is lost."""

import asyncio
import threading

import pytest

from raynef.web.batcher import Batcher


class Work:
    """Doubles numbers, and stands still until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Semaphore(0)

    def __call__(self, batch) -> list[int]:
        self.batches.append(list(batch))
        assert self.go.acquire(timeout=10)
        if -1 in batch:
            raise ValueError("minus one")
        return [2 * item for item in batch]

    async def until(self, count: int) -> None:
        """Until so many batches have begun."""
        while len(self.batches) < count:
            await asyncio.sleep(0.001)


def test_the_first_goes_alone_and_the_others_together():
    async def scenario():
        work = Work()
        batcher = Batcher(work, most=3)
        calls = [asyncio.create_task(batcher(item)) for item in range(6)]
        await work.until(1)
        work.go.release(4)
        assert await asyncio.gather(*calls) == [0, 2, 4, 6, 8, 10]
        assert await batcher(7) == 14  # after a rest
        return work.batches

    assert asyncio.run(scenario()) in ([[0, 1, 2], [3, 4, 5], [7]], [[0], [1, 2, 3], [4, 5], [7]])


def test_who_is_canceled_before_his_turn_is_left_out():
    async def scenario():
        work = Work()
        batcher = Batcher(work, most=3)
        first = asyncio.create_task(batcher(0))
        await work.until(1)
        others = [asyncio.create_task(batcher(item)) for item in (1, 2)]
        await asyncio.sleep(0)
        others[0].cancel()
        first.cancel()  # its batch is worked on already
        work.go.release(2)
        assert await others[1] == 4
        return work.batches

    assert asyncio.run(scenario()) == [[0], [2]]


def test_a_batch_that_fails_tells_those_who_wait_and_the_next_one_goes_on():
    async def scenario():
        work = Work()
        batcher = Batcher(work, most=1)
        bad, good = asyncio.create_task(batcher(-1)), asyncio.create_task(batcher(1))
        work.go.release(2)
        with pytest.raises(ValueError, match="minus one"):
            await bad
        assert await good == 2

    asyncio.run(scenario())
