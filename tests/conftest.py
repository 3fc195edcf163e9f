"""What holds for every test: its folder says its marker, and a file's tests share one process."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.places import ROOT

# No deadlines: the machine is shared, and the first example of a test also pays for imports.
settings.register_profile(
    "raynef", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("raynef")

pytest_plugins = ["tests.tiny"]

_MARKERS = {"ray": "ray", "cluster": "cluster", "gpu": "gpu", "e2e": "slow", "faults": "slow"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the folder they are in.

    With pytest-xdist (``--dist loadgroup``) a file's tests run in one process, for the fixtures of
    its module; all that start Ray in one, for its one cluster.
    """
    for item in items:
        room = item.path.relative_to(ROOT / "tests").parts[0]
        if room in _MARKERS:
            item.add_marker(_MARKERS[room])
        item.add_marker(pytest.mark.xdist_group("ray" if room == "ray" else str(item.path)))


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real data and weights: $RAYNEF_SHARED, or ``shared`` beside the repository."""
    folder = Path(os.environ.get("RAYNEF_SHARED", ROOT.parent / "shared"))
    if not (folder / "weights").is_dir():
        pytest.skip("no shared folder with weights; set RAYNEF_SHARED to run this")
    return folder


@pytest.fixture(scope="module")
def one_thread():
    """One torch thread: small tensors are several times slower on threads that wait for a core."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
