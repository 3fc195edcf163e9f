"""Fixtures that any test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No deadlines: the machine is shared, and the first example of a test also pays for imports.
settings.register_profile(
    "raynef", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("raynef")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real data and weights: $RAYNEF_SHARED, or ``shared`` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("RAYNEF_SHARED", beside))
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
