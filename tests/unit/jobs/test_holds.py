"""Two commands told to use one folder: the second refuses."""

import contextlib
import inspect
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from raynef.cli.main import main
from raynef.cluster.place import this_process
from raynef.core.errors import UserError
from raynef.demo.demo import demo
from raynef.images.datasets.imageset import ImageFile
from raynef.io.holds import GLANCE_S, hold_folder, holds
from raynef.jobs.evaluate import evaluate
from raynef.jobs.kmeans import kmeans
from raynef.jobs.predict import predict
from raynef.jobs.report import write_report
from raynef.jobs.seeds import over_seeds
from raynef.jobs.shards import ensure_shards
from raynef.jobs.spectral.eigen import eigen
from raynef.jobs.spectral.localize import localize
from raynef.jobs.spectral.matte import matte
from raynef.jobs.spectral.objects import segment_objects
from raynef.jobs.spectral.selftrain import selftrain
from raynef.jobs.spectral.semantic import semantic
from raynef.jobs.train import train
from raynef.sweeps.compare import compare
from raynef.sweeps.sweep_report import write_sweep_report
from raynef.sweeps.table import write_tables
from raynef.work.sources import output_names

_HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another(folder: Path) -> Iterator[None]:
    """Another process holds the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    other = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield
    finally:
        other.communicate(b"")


COMMANDS = {
    "predict": lambda folder, recipe: predict("run", "images", folder),
    "compare": lambda folder, recipe: compare("x.yaml", folder),
    "demo": lambda folder, recipe: demo(recipe, folder, num_train=1, num_val=1),
    "report": lambda folder, recipe: write_report(folder),
    "report of a sweep": lambda folder, recipe: write_sweep_report(folder),
    "table": lambda folder, recipe: write_tables(folder),
    "train": lambda folder, recipe: train(recipe, folder),
    "train --seeds": lambda folder, recipe: over_seeds(train, recipe, folder, (0, 1)),
    "baseline": lambda folder, recipe: kmeans(recipe, folder),
    "spectral eigen": lambda folder, recipe: eigen(recipe, folder),
    "spectral localize": lambda folder, recipe: localize(folder),
    "spectral object": lambda folder, recipe: segment_objects(folder),
    "spectral semantic": lambda folder, recipe: semantic(folder, recipe),
    "spectral semantic --on": lambda folder, recipe: semantic("store", recipe, on=folder),
    "spectral selftrain": lambda folder, recipe: selftrain(folder, recipe),
    "spectral matte": lambda folder, recipe: matte("x.jpg", recipe, folder),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_second_command_refuses(command, recipe, tmp_path):
    refused = pytest.raises(UserError, match=r"another live (run|command) .*out; wait for it")
    with held_by_another(tmp_path / "out"), this_process(), refused:
        COMMANDS[command](tmp_path / "out", recipe)


def test_the_second_evaluation_refuses(recipe, tmp_path):
    from raynef.stores.run import bind, hold

    with hold(tmp_path / "run", recipe) as run:
        bind(run, recipe)
    with (
        held_by_another(tmp_path / "run"),
        pytest.raises(UserError, match="live run holds"),
    ):
        evaluate(tmp_path / "run")


def test_the_second_extraction_refuses(tmp_path):
    with held_by_another(tmp_path), pytest.raises(UserError, match="another run is making"):
        ensure_shards(tmp_path, {"a": 1}, work=None)  # pyright: ignore[reportArgumentType]


def test_a_glance_at_the_lock_is_passed_over(tmp_path, monkeypatch):
    """As raynef status takes it, at the very moment when a command starts."""
    assert GLANCE_S >= 0.5
    monkeypatch.setattr("raynef.io.holds.GLANCE_S", 60.0)  # a busy machine is late
    glance = FileLock(tmp_path / ".lock", thread_local=False)
    glance.acquire()
    threading.Timer(0.1, glance.release).start()
    with hold_folder(tmp_path):
        pass


def test_a_command_says_it_and_exits_with_2(tmp_path, capsys):
    with held_by_another(tmp_path), pytest.raises(SystemExit) as caught:
        main(["table", str(tmp_path)])
    assert caught.value.code == 2
    assert "another live command writes to" in capsys.readouterr().err


def test_the_folder_is_free_again_afterwards(tmp_path):
    calls = []

    @holds(made=("out",))
    def command(out, *, fail=False):
        with pytest.raises(UserError), hold_folder(out):
            pass
        calls.append(out)
        if fail:
            raise ValueError

    command(tmp_path / "out")
    with pytest.raises(ValueError, match=r"^$"):
        command(tmp_path / "out", fail=True)
    command(out=tmp_path / "out")
    assert len(calls) == 3
    assert list(inspect.signature(command).parameters) == ["out", "fail"]


def test_what_is_not_there_is_not_made(tmp_path):
    with pytest.raises(UserError, match="not a raynef run"):
        write_report(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_outputs_have_names_of_their_own_within_the_folder():
    def names(*files: str) -> list[str]:
        return output_names(tuple(ImageFile(name, name) for name in files))

    assert names("a/b.jpg", "c.png") == ["a/b.png", "c.png"]
    assert names("b.jpg", "b.gif", "c.png") == ["b.jpg.png", "b.gif.png", "c.png"]
    assert len(set(names("b.jpg", "b.png", "b.jpg.png"))) == 3
    for outside in ("../b.jpg", "/etc/b.jpg", "a/../../b.jpg"):
        with pytest.raises(UserError, match="leads out of"):
            names("a.jpg", outside)
