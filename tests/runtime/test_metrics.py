"""What Prometheus finds of a run's progress, and that nothing is needed where Ray does not run."""

import re
import time
import urllib.request

import pytest

from raynef.runtime.metrics import record, record_step
from raynef.runtime.progress import Progress


def test_without_ray_nothing_happens(monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("raynef.runtime.metrics._gauge", lambda *_: pytest.fail("a gauge"))
    record("raynef_step", 1.0, rank="0")
    record_step(3, {"graph": 0.1}, rank=0)


def test_progress_tells_its_rate(monkeypatch):
    told = []
    monkeypatch.setattr(
        "raynef.runtime.progress.record", lambda name, value, **tags: told.append((name, tags))
    )
    progress = Progress("features", 2, "images")
    progress.advance(2)
    Progress("checksums", 2, "shards").advance(2)  # shards are no images
    assert told == [("raynef_images_per_second", {"stage": "features"})]


def scraped() -> str:
    import ray

    pages = []
    for node in ray.nodes():
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urllib.request.urlopen(address, timeout=5) as answer:
            pages.append(answer.read().decode())
    return "\n".join(pages)


@pytest.mark.ray
def test_prometheus_finds_them(local_ray):
    record_step(7, {"graph": 0.25, "psi": 1.5}, rank=0)
    wanted = {
        r'raynef_step_seconds\{[^}]*part="graph"[^}]*\} 0\.25',
        r'raynef_step_seconds\{[^}]*part="psi"[^}]*\} 1\.5',
        r'raynef_step\{[^}]*rank="0"[^}]*\} 7\.0',
    }
    deadline = time.monotonic() + 40
    while wanted and time.monotonic() < deadline:
        page = scraped()
        wanted = {pattern for pattern in wanted if not re.search(pattern, page)}
        time.sleep(1)
    assert not wanted
