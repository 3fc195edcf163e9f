"""A training in a log: every epoch once, whatever ended it, and the same weights as without."""

import json
import shutil
from pathlib import Path

import pytest

from raynef.io.loggers.choice import Loggers
from raynef.io.loggers.to_tensorboard import event_files, read_events
from raynef.jobs.evaluate import evaluate
from raynef.jobs.train import train
from raynef.stores.run import RunFolder
from tests.tiny import change, in_fresh_process

TENSORBOARD = Loggers(("tensorboard",))


class Killed(Exception):
    pass


def scalars(run):
    """{tag: [(step, value), …]} of all files of a run."""
    found = {}
    for path in event_files(Path(run) / "tensorboard"):
        for event in read_events(path):
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def tags(run):
    files = event_files(Path(run) / "tensorboard")
    events = (event for path in files for event in read_events(path))
    return [value.tag for event in events for value in event.summary.value]


def logged(recipe, out, **options):
    return train(recipe, out, logged_by=TENSORBOARD, **options)


@pytest.fixture(scope="module")
def made(recipe, run_here, tmp_path_factory):
    """A run that was logged, made as ``run_here`` was without."""
    out = tmp_path_factory.mktemp("logged") / "run"
    return out, in_fresh_process(logged, recipe, out)


@pytest.fixture
def stored(recipe, run_here):
    """On the features of a run that is there."""
    return change(recipe, train={"store": str(run_here[0] / "store")})


def test_weights_and_losses_are_those_without(made, run_here):
    for name in ("steps.jsonl", "segmenter/model.safetensors"):
        assert (made[0] / name).read_bytes() == (run_here[0] / name).read_bytes()
    assert not (run_here[0] / "tensorboard").exists()


def test_every_epoch_has_what_the_result_tells(made):
    out, result = made
    found = scalars(out)
    assert all(
        [step for step, _ in values] == [1, 2]
        for tag, values in found.items()
        if tag.startswith("train/")
    )
    for name, value in result["objective"].items():  # that of the last epoch
        assert found[f"train/{name}"][-1] == (2, pytest.approx(value))
    steps = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
    assert found["train/lr"][0][1] == pytest.approx(steps[1]["lr"])
    assert found["train/tau"][1][1] == pytest.approx(steps[3]["tau"])
    first = [step["trace"] for step in steps if step["epoch"] == 0]
    assert found["train/trace"][0][1] == pytest.approx(sum(first) / 2)
    seconds = [value for _, value in found["train/seconds"]]
    assert 0 < sum(seconds) <= result["seconds"] + 0.1
    assert found["train/images_per_second"][0][1] == pytest.approx(10 / seconds[0], rel=1e-3)
    assert found["result/num_images"] == [(2, 10)]
    assert [tag for tag in tags(out) if tag.startswith("overlays/")] == [
        f"overlays/{index}" for index in range(4)
    ]


def test_one_that_is_killed_goes_on_without_a_gap(stored, without_ray, tmp_path):
    """Once a checkpoint is safe, before its epoch was told."""

    def kill(_summary, _trainer):
        raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            logged(stored, tmp_path, on_epoch=kill)
    assert [step for step, _ in scalars(tmp_path)["train/loss"]] == [1]
    logged(stored, tmp_path)
    found = scalars(tmp_path)
    steps = {tag: [step for step, _ in values] for tag, values in found.items()}
    assert {tuple(of) for tag, of in steps.items() if tag.startswith("train/")} == {(1, 2)}
    assert {tuple(of) for tag, of in steps.items() if tag.startswith("result/")} == {(2,)}
    assert tags(tmp_path).count("overlays/0") == tags(tmp_path).count("recipe/text_summary") == 1


def test_a_finished_run_is_logged_once_and_goes_on_with_more_epochs(
    made, recipe, without_ray, tmp_path
):
    run = Path(shutil.copytree(made[0], tmp_path / "run"))
    before = tags(run)
    logged(recipe, run)
    assert tags(run) == before
    logged(change(recipe, train={"epochs": 3}), run)
    assert [step for step, _ in scalars(run)["train/loss"]] == [1, 2, 3]
    assert [step for step, _ in scalars(run)["result/steps"]] == [2, 3]


def test_a_run_that_was_made_without_gets_its_log_later(run_here, recipe, without_ray, tmp_path):
    run = Path(shutil.copytree(run_here[0], tmp_path / "run"))
    assert logged(recipe, run) == train(recipe, run)
    found = scalars(run)
    assert [step for step, _ in found["train/loss"]] == [1, 2]
    assert "train/seconds" not in found  # nothing tells them any more
    assert "overlays/0" in tags(run)


def test_scores_follow_to_the_same_log(made, without_ray, tmp_path):
    run = Path(shutil.copytree(made[0], tmp_path / "run"))
    result = evaluate(run)
    evaluate(run)
    found = scalars(run)
    assert found["evaluate/miou"] == [(2, pytest.approx(result["miou"]))]
    assert found["evaluate/accuracy"] == [(2, pytest.approx(result["accuracy"]))]
    assert [step for step, _ in found["train/loss"]] == [1, 2]


def test_scores_of_a_run_without_a_log_go_nowhere(run_here, without_ray, tmp_path):
    run = Path(shutil.copytree(run_here[0], tmp_path / "run"))
    evaluate(run)
    assert not (run / "tensorboard").exists()


def test_a_logger_that_fails_stops_no_training(stored, without_ray, tmp_path, caplog, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tensorboardX.event_file_writer.EventsWriter.write_event", full)
    result = logged(stored, tmp_path)
    assert result["steps"] == 4
    said = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert [words for words in said if words.startswith("logger tensorboard stops")] == said
    assert len(said) == 1
    assert RunFolder(tmp_path).finished() == result
    monkeypatch.undo()
    logged(stored, tmp_path)  # the same command completes the log
    assert [step for step, _ in scalars(tmp_path)["train/loss"]] == [1, 2]


def test_pictures_that_cannot_be_made_stop_no_training(
    stored, without_ray, tmp_path, caplog, monkeypatch
):
    def broken(*_, **__):
        raise MemoryError("no room")

    monkeypatch.setattr("raynef.jobs.training_log.overlay", broken)
    assert logged(stored, tmp_path)["steps"] == 4
    assert "pictures for the log cannot be made: no room" in caplog.text


def test_no_label_is_opened_for_a_log(recipe, without_ray, copy_of_sample, tmp_path):
    for label in (copy_of_sample / "labels").iterdir():
        label.write_bytes(b"no image")
    out = tmp_path / "run"
    logged(change(recipe, data={"root": str(copy_of_sample)}), out)
    assert "overlays/3" in tags(out)


def test_the_recipe_goes_along_without_secrets(recipe):
    from raynef.jobs.training_log import _config

    config = _config(change(recipe, data={"root": "s3://key:secret@bucket/photos"}))
    assert config["data.root"] == "s3://bucket/photos"
    assert config["eigen.num_eigenfunctions"] == 12
    assert config["graph.pixel_neighbors"] == "[[10, 2.0], [5, 0.1]]"
