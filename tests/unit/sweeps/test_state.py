"""What became of a trial is read from its folder in one place."""

import json

import pytest
from filelock import FileLock

from raynef.config.recipe import Recipe, to_dict
from raynef.io.files import write_json
from raynef.io.holds import LOCK
from raynef.sweeps.state import (
    RunScore,
    TrialResult,
    note_failure,
    note_stopped,
    read_state,
    reported_state,
)

WANTED = {("ours", "k")}


def score(key="k"):
    recipe = to_dict(Recipe())
    sections = {"data": recipe["data"], "evaluate": recipe["evaluate"]}
    return RunScore({"miou": 0.5}, 3, "c", **sections, method="ours", score=key, run="run")


def test_states_follow_one_another(tmp_path):
    assert read_state(tmp_path, WANTED).state == "to come"
    with FileLock(tmp_path / LOCK):
        assert read_state(tmp_path, WANTED).words == "not finished"
        assert read_state(tmp_path, WANTED).state == "working"
    noted = {"kind": "ours", "seed": 0, "recipe": to_dict(Recipe())}
    write_json(tmp_path / "trial.json", noted)
    assert read_state(tmp_path, WANTED).state == "begun"
    note_stopped(tmp_path, {"epoch": 2, "objective": 0.1, "other": 1})
    stopped = read_state(tmp_path, WANTED)
    assert (stopped.state, stopped.missing) == ("stopped", "stopped at epoch 2")
    assert stopped.stopped == {"epoch": 2, "objective": 0.1}
    note_failure(tmp_path, "it broke")
    failed = read_state(tmp_path, WANTED)
    assert (failed.state, failed.error) == ("failed", "it broke")
    write_json(tmp_path / "result.json", TrialResult((score("other"),)).plain())
    assert read_state(tmp_path, WANTED).state == "failed"
    result = TrialResult((score("other"), score()), objective=0.2)
    write_json(tmp_path / "result.json", result.plain())
    done = read_state(tmp_path, WANTED)
    assert (done.state, done.missing) == ("done", None)
    assert done.result is not None
    assert done.result.objective == 0.2
    assert json.loads(json.dumps(result.plain())) == done.result.plain()


@pytest.mark.parametrize("damage", ["[]", '{"scores": [{"method": "ours"}]}', "{"])
def test_damage_is_raised(tmp_path, damage):
    (tmp_path / "result.json").write_text(damage)
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_state(tmp_path, WANTED)


def test_a_last_report_tells_how_a_trial_ended():
    assert reported_state({"done_trial": True, "miou": 0.5}) == "done"
    assert reported_state({"failed": True}) == "failed"
    assert reported_state({"epoch": 2}) == "stopped"
