"""The parity record notices what changes, and nothing that differs from run to run."""

import json

import numpy as np
from PIL import Image

from tests.parity.__main__ import RECORD, chosen, report
from tests.parity.commands import HELP, STEPS
from tests.parity.observe import observe, plain
from tests.shown import commands


def test_each_command_that_is_shown_has_a_step():
    shown = {command.split()[1] for command in commands()}
    known = {command.split()[0] for command in HELP if command}
    assert known <= shown  # the record has no command that README and documentation lack
    assert known - {step.argv[0] for step in STEPS if step.argv} == set()


def test_a_step_brings_what_it_needs():
    names = [step.name for step in chosen(["evaluate"])]
    assert names == ["demo", "sample", "extract", "train", "train finished", "evaluate"]


def test_times_paths_and_dates_do_not_count(tmp_path):
    one = {"seconds": 1.5, "run": str(tmp_path / "run"), "when": "2026-11-24 10:11:12", "miou": 0.5}
    other = {**one, "seconds": 2.5, "when": "2027-01-02 00:00:00"}
    assert plain(one, tmp_path) == plain(other, tmp_path)
    assert plain(one, tmp_path)["run"] == "./run"
    assert plain({"miou": 0.5}, tmp_path) != plain({"miou": 0.5 + 1e-15}, tmp_path)


def test_a_changed_pixel_and_a_changed_number_are_told(tmp_path, capsys):
    image = np.zeros((4, 4), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps({"a": [1, 2]}))
    (tmp_path / "log.txt").write_text("one")
    before = {"step": {"files": observe(tmp_path)}}
    image[0, 0] = 1
    Image.fromarray(image).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps({"a": [1, 3]}))
    (tmp_path / "log.txt").write_text("two")
    assert report(before, before) == 0
    assert report(before, {"step": {"files": observe(tmp_path)}}) == 1
    said = capsys.readouterr().err
    assert "step / files / a.json / a[1]: 2 → 3" in said
    assert "step / files / a.png" in said
    assert "log.txt" not in said


def test_the_record_has_every_step_and_each_ended_as_it_should():
    steps = json.loads(RECORD.read_text(encoding="utf-8"))["steps"]
    assert set(steps) == {s.name for s in STEPS} | {f"{c} --help".strip() for c in HELP}
    names = [step.name for step in STEPS]
    mistakes = names[names.index("no command") :]
    for name, found in steps.items():
        assert found["status"] == (2 if name in mistakes else 0), name
