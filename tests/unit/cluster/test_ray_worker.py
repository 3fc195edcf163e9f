"""What a worker tells a driver that shuts down: a step only once that step is on disk."""

import queue

import pytest
import torch

from raynef.cluster import ray_worker
from raynef.cluster.events import Safe
from raynef.core.collectives import SingleProcess
from raynef.io.checkpoints import INTERIM, newest_checkpoint


class LateOrders:
    """An order that comes just after the first look."""

    def __init__(self) -> None:
        self.looks = 0

    def empty(self) -> bool:
        self.looks += 1
        return self.looks == 1


@pytest.fixture
def worker(monkeypatch, tmp_path):
    monkeypatch.setattr("ray.train.torch.get_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(ray_worker, "current_collectives", SingleProcess)
    monkeypatch.setattr(ray_worker, "_PATIENCE_S", 0.0)
    return ray_worker._RayWorker(queue.SimpleQueue(), LateOrders(), tmp_path)


def test_an_order_in_between_waits_for_a_step_on_disk(worker, tmp_path):
    state = {"weights": torch.arange(3.0), "step": 4}
    worker.keep(lambda: state, step=4)
    assert worker._events.empty()
    assert not (tmp_path / INTERIM).exists()
    worker.keep(lambda: state, step=5)
    assert worker._events.get_nowait() == Safe(5)
    found, damaged = newest_checkpoint(tmp_path)
    assert found is not None
    assert torch.equal(found["weights"], state["weights"])
    assert not damaged
