"""What Prometheus finds of a run's progress, and that nothing is needed where Ray does not run."""

import re
import time
import urllib.request

import pytest

from raynef.cluster.metrics import record_step


def scraped() -> str:
    import ray

    pages = []
    for node in ray.nodes():
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urllib.request.urlopen(address, timeout=5) as answer:
            pages.append(answer.read().decode())
    return "\n".join(pages)


@pytest.mark.slow
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
