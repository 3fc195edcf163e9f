"""What holds for every test: its folder says its marker, what may run beside it, what it needs."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # processes side by side: threads would wait for cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Read by each process that is started, so before torch; Ray's workers inherit it. Threads that spin
# while they wait take the cores from what runs beside: a step is then several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from raynef.segment.crf import has_crf
from tests.places import ROOT

# No deadlines: the machine is shared, and the first example of a test also pays for imports.
settings.register_profile(
    "raynef", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("raynef")

os.fsync = lambda fd: None  # what tests write need not outlive the machine
pytest_plugins = ["tests.tiny"]

_MARKERS = {"ray": "ray", "cluster": "cluster", "gpu": "gpu", "e2e": "slow", "faults": "slow"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by the folder it is in, before anything is picked by markers."""
    room = item.path.relative_to(ROOT / "tests").parts[0]
    if room in _MARKERS:
        item.add_marker(_MARKERS[room])


class OneRay(LoadScopeScheduling):
    """Files of ``tests/unit`` go to any process; all that starts Ray, one after another, to one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return file if file.startswith("tests/unit/") else "ray"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneRay:
    """Among several processes (``-n``), keep Ray in one."""
    config.option.loadscopereorder = False  # as collected: the tests with Ray begin at once
    return OneRay(config, log)


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Where the extra ``crf`` is not installed, a test that needs it is skipped, and says so."""
    try:
        return (yield)
    except Exception as error:
        if not has_crf() and "pydensecrf" in str(error):
            pytest.skip("pydensecrf2, of the extra crf, is not installed")
        raise
