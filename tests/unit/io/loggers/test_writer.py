"""Loggers in their threads: each step once, and one that fails or waits stops nothing."""

import threading
import time

import numpy as np
import pytest

from raynef.io.loggers import run_log as module
from raynef.io.loggers.backend import Log
from raynef.io.loggers.choice import Loggers
from raynef.io.loggers.run_log import loggers_of, run_log, unfinished
from raynef.io.loggers.writer import kept_of
from tests.known import present

CHOSEN = Loggers(("mlflow",), mlflow="http://me:secret@server/api")


class Fake:
    """A logger in memory, that fails at a step or waits."""

    where = "memory"

    def __init__(self, *, last=None, fails_at=None, waits=None) -> None:
        self.id, self.last, self.fails_at, self.waits = "id-1", last, fails_at, waits
        self.steps, self.ends, self.opened, self.ended = [], [], [], None

    def last_step(self):
        return self.last

    def scalars(self, values, *, step):
        if self.waits is not None:
            self.waits.wait()
        if step == self.fails_at:
            raise OSError(28, "No space left on device")
        self.steps.append((step, dict(values)))

    def scores(self, values, *, step):
        self.ends.append((step, dict(values)))

    def images(self, images, *, step):
        self.ends.append((step, sorted(images)))

    def close(self, status):
        self.ended = status


@pytest.fixture
def fake(monkeypatch):
    """The logger that is opened; tests change it."""
    made = Fake()

    def open_backend(name, log, *, place, known):
        made.opened.append((name, place, known))
        return made

    monkeypatch.setattr("raynef.io.loggers.writer.open_backend", open_backend)
    return made


def write(folder, steps, *, end=()):
    with run_log(Log(folder, "run"), CHOSEN) as log:
        for step in steps:
            log.scalars({"loss": 1 / step}, step=step)
        for step in end:
            log.scores({"miou": 0.5}, step=step)
            log.finish({"a": np.zeros((2, 2, 3), np.uint8)}, step=step)


def test_it_goes_on_in_the_same_log(fake, tmp_path):
    write(tmp_path, [1, 2])
    write(tmp_path, [1, 2, 3], end=[3])
    assert [step for step, _ in fake.steps] == [1, 2, 3]
    assert fake.opened == [
        ("mlflow", "http://me:secret@server/api", None),
        ("mlflow", "http://me:secret@server/api", "id-1"),
    ]
    assert fake.ends == [(3, {"miou": 0.5}), (3, ["a"])]
    assert fake.ended == "finished"
    assert "secret" not in (tmp_path / "loggers/mlflow.json").read_text()
    assert unfinished(tmp_path, CHOSEN, 3).names == ()
    assert unfinished(tmp_path, CHOSEN, 4) == CHOSEN
    assert loggers_of(tmp_path) == Loggers(("mlflow",), mlflow="http://server/api")
    write(tmp_path, [3], end=[3])  # all of it is there
    assert len(fake.ends) == 2


@pytest.mark.parametrize(
    "place", ["sqlite:////tmp/ml.db", "sqlite:///ml.db", "http://server:5000", "cells", "./mlruns"]
)
def test_a_place_is_found_again_as_it_was_given(fake, tmp_path, place):
    for chosen in (Loggers(("mlflow",), mlflow=place), Loggers(("mlflow",))):
        with run_log(Log(tmp_path, "run"), chosen):
            pass
    assert [opened[1] for opened in fake.opened] == [place, place]


def test_what_the_log_holds_counts_not_what_was_kept_of_it(fake, tmp_path):
    write(tmp_path, [1, 2])
    fake.last = 1  # the server lost the second
    write(tmp_path, [1, 2])
    assert [step for step, _ in fake.steps] == [1, 2, 2]


def test_one_that_fails_is_said_once(fake, tmp_path, caplog):
    fake.fails_at = 2
    write(tmp_path, [1, 2, 3, 4], end=[4])
    said = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert len(said) == 1
    assert said[0].startswith("logger mlflow stops, all else goes on: OSError")
    assert "No space left on device" in said[0]
    assert present(kept_of(tmp_path, "mlflow")).step == 1
    fake.fails_at = None
    write(tmp_path, [1, 2, 3, 4])
    assert [step for step, _ in fake.steps] == [1, 2, 3, 4]


def test_one_that_waits_holds_nobody_up(fake, tmp_path, caplog, monkeypatch):
    fake.waits = threading.Event()
    monkeypatch.setitem(module._WAITS_S, "finished", 0.2)
    started = time.monotonic()
    write(tmp_path, [1, 2])
    assert time.monotonic() - started < 5
    assert "logger mlflow does not answer" in caplog.text
    fake.waits.set()


@pytest.mark.parametrize(
    ("error", "ended"), [(KeyboardInterrupt, "stopped"), (RuntimeError, "failed")]
)
def test_a_log_says_how_its_job_ended(fake, tmp_path, error, ended):
    with pytest.raises(error), run_log(Log(tmp_path, "run"), CHOSEN):
        raise error
    assert fake.ended == ended


def test_nowhere_is_nowhere(tmp_path):
    with run_log(Log(tmp_path, "run"), Loggers()) as log:
        log.scalars({"loss": 1.0}, step=1)
    assert list(tmp_path.iterdir()) == []
    assert loggers_of(tmp_path) == Loggers()


def test_a_damaged_record_begins_anew(fake, tmp_path):
    (tmp_path / "loggers").mkdir()
    (tmp_path / "loggers/mlflow.json").write_text("{")
    write(tmp_path, [1])
    assert fake.opened[0][2] is None
    assert present(kept_of(tmp_path, "mlflow")).step == 1
