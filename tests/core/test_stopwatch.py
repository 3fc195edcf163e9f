"""Each second counts for one part."""

import time

import torch

from raynef.core.collectives import Alone
from raynef.core.stopwatch import PARTS, Stopwatch, Timed


def test_the_inner_part_counts_where_one_interrupts_another():
    watch = Stopwatch()
    with watch.running("psi"):
        time.sleep(0.02)
        with watch.running("graph"):
            time.sleep(0.05)
        time.sleep(0.02)
    spent = watch.lap()
    assert set(spent) == set(PARTS)
    assert 0.05 <= spent["graph"] < 0.2
    assert 0.04 <= spent["psi"] < 0.2
    assert spent["features"] == spent["communication"] == 0
    assert not any(watch.lap().values())


def test_a_part_ends_with_an_error_too():
    watch = Stopwatch()
    try:
        with watch.running("graph"):
            raise ValueError
    except ValueError:
        time.sleep(0.05)
    assert watch.lap()["graph"] < 0.04


class Slow(Alone):
    def all_reduce_sum(self, value):
        time.sleep(0.03)
        return value


def test_collectives_count_as_communication_and_stay_what_they_are():
    watch = Stopwatch()
    timed = Timed(Slow(), watch)
    with watch.running("graph"):
        assert timed.all_reduce_sum(torch.ones(1)).item() == 1
    assert (timed.rank, timed.world_size) == (0, 1)
    rows = torch.ones(2, 3)
    assert timed.all_gather_rows(rows) is rows
    assert timed.reduce_scatter_rows(rows, [2]) is rows
    spent = watch.lap()
    assert spent["communication"] >= 0.03
    assert spent["graph"] < 0.03
