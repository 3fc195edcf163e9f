"""Each second counts for one part. The clock of these tests goes on when it is told to."""

import pytest
import torch

from raynef.core import stopwatch
from raynef.core.collectives import SingleProcess
from raynef.core.stopwatch import PARTS, Stopwatch, Timed


@pytest.fixture
def passes(monkeypatch):
    """passes(seconds): so many have passed."""
    now = 100.0

    def passed(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr("raynef.core.stopwatch.time.perf_counter", lambda: now)
    return passed


def test_the_inner_part_counts_where_one_interrupts_another(passes):
    watch = Stopwatch()
    passes(1.0)  # before anything: counts for nothing
    with watch.running("psi"):
        passes(2.0)
        with watch.running("graph"):
            passes(5.0)
        passes(2.5)
    passes(1.0)
    spent = watch.lap()
    assert set(spent) == set(PARTS)
    assert spent == {"features": 0, "graph": 5.0, "communication": 0, "psi": 4.5}
    assert not any(watch.lap().values())


def test_a_part_ends_with_an_error_too(passes):
    watch = Stopwatch()

    def fails():
        with watch.running("graph"):
            passes(3.0)
            raise ValueError("in the graph")

    with pytest.raises(ValueError, match="in the graph"):
        fails()
    passes(5.0)
    assert watch.lap()["graph"] == 3.0


class Gpu:
    """A device that is behind: it has come to what was given to it before ``done``."""

    def __init__(self, monkeypatch):
        self.done, self.waits = 0.0, 0
        gpu = self

        class Event:
            def __init__(self, *, enable_timing):
                assert enable_timing

            def record(self):
                self.at = stopwatch.time.perf_counter()

            def query(self):
                return self.at <= gpu.done

            def synchronize(self):
                gpu.waits, gpu.done = gpu.waits + 1, max(gpu.done, self.at)

            def elapsed_time(self, later):
                assert self.query()
                assert later.query()
                return 1000 * (later.at - self.at)

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "synchronize", None)  # not to be called


def test_nobody_waits_for_a_gpu_until_a_lap_is_to(passes, monkeypatch):
    gpu = Gpu(monkeypatch)
    watch = Stopwatch(torch.device("cuda"))
    with watch.running("psi"):
        passes(2.0)
        with watch.running("graph"):
            passes(5.0)
        passes(1.0)
    assert not any(watch.lap().values())
    gpu.done = 107.5  # 100 + 2 + 5 and a half
    assert watch.lap() == {"features": 0, "graph": 5.0, "communication": 0, "psi": 2.0}
    assert gpu.waits == 0
    assert watch.lap(wait=True)["psi"] == 1.0
    assert gpu.waits == 1
    assert not any(watch.lap(wait=True).values())


def test_collectives_count_as_communication_and_stay_what_they_are(passes):
    class Slow(SingleProcess):
        def all_reduce_sum(self, value):
            passes(3.0)
            return value

    watch = Stopwatch()
    timed = Timed(Slow(), watch)
    with watch.running("graph"):
        passes(1.0)
        assert timed.all_reduce_sum(torch.ones(1)).item() == 1
    assert (timed.rank, timed.world_size) == (0, 1)
    rows = torch.ones(2, 3)
    assert timed.all_gather_rows(rows, [2]) is rows
    assert timed.reduce_scatter_rows(rows, [2]) is rows
    spent = watch.lap()
    assert (spent["graph"], spent["communication"]) == (1.0, 3.0)
