"""What a training has kept is taken whole or not at all, and the latest of it is used."""

import json
import logging
import time

import numpy as np
import pytest
import torch

from raynef.cluster import worker
from raynef.cluster.place import this_process
from raynef.cluster.private import forget_broken_record
from raynef.io.checkpoints import (
    CHECKPOINT,
    INTERIM,
    DamagedCheckpointError,
    newest_checkpoint,
    read_checkpoint,
    step_of,
    write_checkpoint,
)
from raynef.io.files import read_json
from raynef.jobs.train import train
from raynef.models.training import Trainer
from tests.known import present
from tests.tiny import change


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


DAMAGES = pytest.mark.parametrize("damage", [cut_short, flip_a_byte, empty])


@pytest.fixture
def kept(tmp_path):
    """Checkpoints after 10 and 20 steps, and one between epochs after 25."""
    for step in (10, 20):
        state = {"step": step, "weights": torch.full((50,), float(step))}
        write_checkpoint(tmp_path / f"checkpoint_{step}" / CHECKPOINT, state, step=step)
    write_checkpoint(tmp_path / INTERIM, {"step": 25}, step=25)
    return tmp_path


def test_a_state_comes_back_as_it_was(kept):
    path = kept / "checkpoint_20" / CHECKPOINT
    assert torch.equal(read_checkpoint(path)["weights"], torch.full((50,), 20.0))
    assert step_of(path) == 20


def test_the_latest_counts_wherever_it_lies(kept):
    assert present(newest_checkpoint(kept)[0])["step"] == 25
    write_checkpoint(kept / "checkpoint_30" / CHECKPOINT, {"step": 30}, step=30)
    assert newest_checkpoint(kept) == ({"step": 30}, {})


@DAMAGES
def test_a_damaged_one_is_named_and_the_one_before_is_used(kept, damage):
    damage(kept / INTERIM)
    state, damaged = newest_checkpoint(kept)
    assert state is not None
    assert state["step"] == 20
    assert list(damaged) == [kept / INTERIM]
    assert INTERIM in damaged[kept / INTERIM]
    damage(kept / "checkpoint_20" / CHECKPOINT)
    state, damaged = newest_checkpoint(kept)
    assert state is not None
    assert state["step"] == 10
    assert len(damaged) == 2


def test_where_none_is_whole_there_is_none(kept):
    for path in kept.rglob("*.ckpt"):
        cut_short(path)
    state, damaged = newest_checkpoint(kept)
    assert state is None
    assert len(damaged) == 3
    assert newest_checkpoint(kept / "nowhere") == (None, {})


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    write_checkpoint(tmp_path / INTERIM, {"path": tmp_path}, step=1)  # no plain value: it pickles
    with pytest.raises(DamagedCheckpointError, match="holds more than tensors"):
        read_checkpoint(tmp_path / INTERIM)


def test_rays_list_is_set_aside_where_it_is_damaged(tmp_path, caplog):
    record = tmp_path / "checkpoint_manager_snapshot.json"
    (tmp_path / "checkpoint_a").mkdir()
    whole = json.dumps({"checkpoint_results": [{"checkpoint_dir_name": "checkpoint_a"}]})
    record.write_text(whole)
    forget_broken_record(tmp_path)
    assert record.is_file()
    for broken in (whole[:20], whole.replace("_a", "_gone"), "[]"):
        record.write_text(broken)
        with caplog.at_level(logging.WARNING, logger="raynef"):
            forget_broken_record(tmp_path)
        assert not record.exists()
    assert "damaged" in caplog.text


class Crash(Exception):
    """In the middle of a training."""


def crash_after(steps, patch):
    """Every step is kept, and the one after ``steps`` of them crashes."""
    step, count = Trainer.step, 0

    def counted(self, *args, **kwargs):
        nonlocal count
        if count == steps:
            raise Crash
        count += 1
        return step(self, *args, **kwargs)

    patch.setattr(worker, "INTERIM_S", 0.0)
    patch.setattr(Trainer, "step", counted)


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "steps.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(one_thread, recipe, tmp_path_factory):
    """Three epochs of two steps, in this process."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    with this_process():
        train(change(recipe, train={"epochs": 3}), out)
    return out


def goes_on(recipe, undisturbed, out, caplog, **options):
    """Train again to the end: the curve of a run that nothing happened to. The result."""
    recipe = change(recipe, train={"epochs": 3})
    with this_process(), caplog.at_level(logging.INFO, logger="raynef"):
        result = train(recipe, out, **options)
    np.testing.assert_allclose(losses(out), losses(undisturbed), rtol=1e-5)
    return result


def crashed(recipe, out, steps, monkeypatch):
    with this_process(), monkeypatch.context() as patch:
        crash_after(steps, patch)
        with pytest.raises(Crash):
            train(change(recipe, train={"epochs": 3}), out)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_training_goes_on_within_an_epoch(
    recipe, undisturbed, tmp_path, monkeypatch, caplog, steps
):
    crashed(recipe, tmp_path / "run", steps, monkeypatch)
    begun = time.monotonic()
    result = goes_on(recipe, undisturbed, tmp_path / "run", caplog, since=begun - 100)
    took = time.monotonic() - begun
    assert f"going on from step {steps}" in caplog.text
    # Where the time went: all of it, and only this command's.
    spent = result["seconds_by_part"]
    parts = ["start", "ray", "features", "teachers", "steps", "between_steps", "segmenter"]
    assert list(spent) == parts
    assert min(spent.values()) >= 0
    assert spent["start"] >= 100
    assert sum(spent.values()) == pytest.approx(100 + took, abs=0.3)
    of_all_commands = sum(result["step_seconds"].values()) * result["steps"]
    assert 0 < spent["steps"] < of_all_commands


def test_a_training_goes_on_from_the_checkpoint_before(
    recipe, undisturbed, tmp_path, monkeypatch, caplog
):
    crashed(recipe, tmp_path / "run", 5, monkeypatch)
    folder = tmp_path / "run" / "checkpoints"
    flip_a_byte(folder / INTERIM)
    goes_on(recipe, undisturbed, tmp_path / "run", caplog)
    assert INTERIM in caplog.text
    assert "going on from step 4" in caplog.text
    assert (folder / INTERIM).with_suffix(".damaged").is_file()


def test_two_ends_of_epochs_are_kept(undisturbed):
    found = (undisturbed / "checkpoints").glob(f"checkpoint_*/{CHECKPOINT}")
    assert sorted(present(step_of(path)) for path in found) == [4, 6]


def test_where_the_time_of_a_step_goes(undisturbed):
    split = read_json(undisturbed / "train.json")["step_seconds"]
    assert set(split) == {"features", "graph", "communication", "psi"}
    assert split["graph"] > 0
    assert split["psi"] > 0
    # In one process a collective gives back what it is given.
    assert split["communication"] < split["psi"]
