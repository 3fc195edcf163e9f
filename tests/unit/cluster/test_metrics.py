"""What Prometheus finds of a run's progress, and that nothing is needed where Ray does not run."""

import pytest

from raynef.cluster.metrics import _gauge, record, record_step
from raynef.cluster.progress import Progress


@pytest.fixture
def gauges(monkeypatch):
    """What is set of which gauge, in place of Ray's: (name, value, tags)."""
    kept = []

    class Gauge:
        def __init__(self, name, description, tag_keys):
            assert description
            self.name, self.tag_keys = name, tag_keys

        def set(self, value, tags):
            assert set(tags) == set(self.tag_keys)  # Ray refuses others
            kept.append((self.name, value, tags))

    monkeypatch.setattr("ray.util.metrics.Gauge", Gauge)
    _gauge.cache_clear()
    yield kept
    _gauge.cache_clear()


@pytest.mark.parametrize("running", [True, False])
def test_a_step_is_recorded_where_ray_runs_and_nowhere_else(gauges, monkeypatch, running):
    monkeypatch.setattr("ray.is_initialized", lambda: running)
    record("raynef_images_per_second", 2.5, stage="features")
    record_step(3, {"graph": 0.1, "psi": 0.2}, rank=1)
    expected = [
        ("raynef_images_per_second", 2.5, {"stage": "features"}),
        ("raynef_step", 3, {"rank": "1"}),
        ("raynef_step_seconds", 0.1, {"part": "graph", "rank": "1"}),
        ("raynef_step_seconds", 0.2, {"part": "psi", "rank": "1"}),
    ]
    assert gauges == (expected if running else [])


def test_progress_tells_its_rate(monkeypatch):
    told = []
    monkeypatch.setattr(
        "raynef.cluster.progress.record", lambda name, value, **tags: told.append((name, tags))
    )
    progress = Progress("features", 2, "images")
    progress.advance(2)
    Progress("checksums", 2, "shards").advance(2)  # shards are no images
    assert told == [("raynef_images_per_second", {"stage": "features"})]
