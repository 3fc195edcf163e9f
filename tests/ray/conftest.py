"""One small local Ray for the session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from raynef.cluster.session import ray_session
from raynef.io.loggers.choice import Loggers
from raynef.jobs.train import train


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Commands join the Ray that runs already, so that the session starts one only."""
    with ray_session(min_cpus=8):
        yield


@pytest.fixture(scope="session")
def run_on_ray(recipe, local_ray, tmp_path_factory) -> tuple[Path, dict]:
    """A run of one worker with stored features, and its result."""
    out = tmp_path_factory.mktemp("runs") / "one"
    return out, train(recipe, out, logged_by=Loggers(("tensorboard",)))
