"""Which jobs run in this process alone, and what ends a training there."""

import signal
import subprocess
import sys

import pytest
import torch

from raynef.cli.commands import parse
from raynef.cluster.interrupt import Terminated, asked_to_end
from raynef.cluster.place import in_this_process, place, placed
from raynef.cluster.process_worker import ProcessWorker
from raynef.cluster.session import SMALL, is_small, ray_session
from raynef.core.errors import UserError
from raynef.io.checkpoints import INTERIM, newest_checkpoint


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("raynef.cluster.session._ray_runs", lambda: False)


@pytest.mark.parametrize(
    ("where", "address", "images", "expected"),
    [
        ("auto", None, SMALL, True),
        ("auto", None, SMALL + 1, False),
        ("auto", None, None, False),  # a job that workers share
        ("auto", "10.0.0.1:6379", 1, False),
        ("ray", None, 1, False),
        ("local", None, 10**7, True),
    ],
)
def test_by_size_where_nobody_says(where, address, images, expected):
    with placed(where):
        assert is_small(address, images) is expected
    assert place() == "auto"


def test_a_cluster_that_is_there_is_used(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert not is_small(None, 1)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert is_small(None, 1)
    monkeypatch.setattr("raynef.cluster.session._ray_runs", lambda: True)
    assert not is_small(None, 1)


def test_several_gpus_are_work_for_ray(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert not is_small(None, 1)


@pytest.mark.parametrize(("gpus", "expected"), [(0, True), (1, False)])
def test_on_cpus_alone_a_model_needs_no_ray_however_many_images(monkeypatch, gpus, expected):
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    assert is_small(None, 10**6, model_bound=True) is expected
    assert not is_small("10.0.0.1:6379", 10**6, model_bound=True)


def test_what_contradicts_itself_is_said():
    run = ["predict", "RUN", "PHOTOS", "--out", "OUT", "--local"]
    assert parse(run).place == "local"
    assert parse([*run[:-1], "--ray"]).place == "ray"
    for other in ("--ray", "--address=auto"):
        with pytest.raises(UserError, match="contradict each other"):
            _ = parse([*run, other]).place
    with placed("local"):
        with pytest.raises(UserError, match="--address auto on a cluster"):
            is_small("auto", 1)
        with pytest.raises(UserError, match="on Ray alone"):
            is_small(None, None)


def test_a_small_job_works_here():
    with ray_session(images=1):
        assert in_this_process()
    assert not in_this_process()


def test_prediction_of_few_images_imports_no_ray():
    code = (
        "import sys, raynef.jobs.predict, raynef.jobs.train, raynef.jobs.evaluate, "
        "raynef.jobs.report; sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_training_ends_with_the_step_under_way(tmp_path, number, kind):
    worker = ProcessWorker(tmp_path, torch.device("cpu"), hear=lambda _: None)
    state = {"weights": torch.arange(3.0)}

    def training() -> None:
        worker.keep(lambda: state, step=3)
        assert not (tmp_path / INTERIM).exists()
        signal.raise_signal(number)
        worker.keep(lambda: state, step=4)
        pytest.fail("the training went on")

    with pytest.raises(kind), asked_to_end(worker.end):
        training()
    found, damaged = newest_checkpoint(tmp_path)
    assert found is not None
    assert damaged == {}
    assert torch.equal(found["weights"], state["weights"])


def test_a_second_signal_ends_it_at_once(tmp_path):
    worker = ProcessWorker(tmp_path, torch.device("cpu"), hear=lambda _: None)
    with asked_to_end(worker.end):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
