"""A run that is killed and started again ends as if nothing had happened (minutes; by hand)."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raynef.io.loggers.to_tensorboard import event_files, read_events
from tests.known import present

EPOCHS = 12


def command(recipe, out: Path, features: str) -> list[str]:
    data, backbone = recipe.data, recipe.backbone
    return [
        *(sys.executable, "-m", "raynef", "train", "--out", str(out), "--data.root", data.root),
        *("--data.short-side", "64", "--data.crop", "64", "--data.num-views", "2"),
        *("--backbone.name", backbone.name, "--backbone.weights", backbone.weights),
        *("--graph.num-neighbors", "12", "--eigen.num-eigenfunctions", "12"),
        *("--train.batch-size", "5", "--train.epochs", str(EPOCHS)),
        *("--train.features", features),
        *(("--recipe", "folder", "paper") if features == "streamed" else ()),
    ]


def logged_losses(run: Path) -> list[tuple[int, float]]:
    """(epoch, loss) of TensorBoard's files, as they were written."""
    events = [e for path in event_files(run / "tensorboard") for e in read_events(path)]
    values = [(event.step, value) for event in events for value in event.summary.value]
    return [(step, value.simple_value) for step, value in values if value.tag == "train/loss"]


def finish(arguments: list[str]) -> dict:
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def kill_in_the_middle(arguments: list[str], out: Path) -> int:
    """SIGKILL once a checkpoint is there. Returns how many checkpoints the run had seen."""
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline, found = time.monotonic() + 240, []
    while time.monotonic() < deadline:
        found = list((out / "checkpoints").glob("checkpoint_*/state.ckpt"))
        if len(found) >= 1:
            break
        assert process.poll() is None, present(process.stderr).read()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "train.json").exists(), "the run was over before it could be killed"
    return len(found)


@pytest.mark.parametrize(
    ("features", "place"), [("stored", "--local"), ("stored", "--ray"), ("streamed", "--ray")]
)
def test_sigkill_and_the_same_command_end_with_the_same_weights(recipe, tmp_path, features, place):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish([*command(recipe, whole, features), place])
    assert kill_in_the_middle([*command(recipe, killed, features), place], killed) >= 1
    time.sleep(5)  # Ray's processes notice that their driver is gone
    again = [*command(recipe, killed, features), place]
    done = subprocess.run(again, capture_output=True, text=True, check=True)
    assert "going on from step" in done.stderr
    weights = [run / "segmenter" / "model.safetensors" for run in (whole, killed)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    steps = [(run / "steps.jsonl").read_text() for run in (whole, killed)]
    assert steps[0] == steps[1]
    assert logged_losses(whole) == logged_losses(killed)
    epochs = json.loads(steps[0].splitlines()[-1])["epoch"] + 1  # more of them where steps are few
    assert [step for step, _ in logged_losses(killed)] == list(range(1, epochs + 1))


@pytest.mark.parametrize("place", ["--local", "--ray"])
def test_sigterm_leaves_a_checkpoint_within_ten_seconds(recipe, tmp_path, place):
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    finish([*command(recipe, whole, "stored"), place])
    process = subprocess.Popen(
        [*command(recipe, ended, "stored"), place],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list((ended / "checkpoints").glob("checkpoint_*/state.ckpt")):
        assert process.poll() is None, present(process.stderr).read()
        time.sleep(0.02)
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "a checkpoint is safe" in said
    assert "Traceback" not in said
    assert time.monotonic() - told < 20  # Ray's own end takes most of it
    again = [*command(recipe, ended, "stored"), place]
    done = subprocess.run(again, capture_output=True, text=True, check=True)
    assert "going on from step" in done.stderr
    weights = [run / "segmenter" / "model.safetensors" for run in (whole, ended)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
