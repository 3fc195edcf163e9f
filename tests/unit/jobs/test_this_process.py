"""Work in this process alone: the same results as on Ray, without it."""

import json

import numpy as np
import pytest

from raynef.cluster.place import in_this_process, this_process
from raynef.cluster.session import ray_session
from raynef.core.errors import NonFiniteLossError, UserError
from raynef.jobs.evaluate import evaluate
from raynef.jobs.train import train
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def here(one_thread, recipe, tmp_path_factory):
    """A run made in this process, and what its hook heard."""
    out, heard = tmp_path_factory.mktemp("here") / "run", []
    with this_process():
        train(recipe, out, on_epoch=lambda summary, _trainer: heard.append(summary))
        evaluate(out)
    return out, heard


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "steps.jsonl").read_text().splitlines()]


def assert_same_curve(run, other):
    """To rounding: a matrix product may add in another order where its memory is aligned
    otherwise, as it is in a process that has worked before."""
    np.testing.assert_allclose(losses(run), losses(other), rtol=1e-5)


def test_no_ray_is_started(monkeypatch):
    monkeypatch.setattr("ray.init", lambda **_: pytest.fail("Ray was started"))
    with this_process(), ray_session():
        assert in_this_process()
    assert not in_this_process()


def test_the_hook_hears_each_epoch(here, recipe):
    _, heard = here
    assert [summary["epoch"] for summary in heard] == [1, 2]
    for summary in heard:
        bound = recipe.eigen.num_eigenfunctions * (1 + recipe.graph.alpha)
        assert summary["objective"] == pytest.approx(-summary["loss"] / bound)
        assert summary["objective"] <= 1


def test_it_goes_on_from_the_last_epoch(here, recipe, tmp_path):
    class Killed(Exception):
        pass

    def kill(_summary, _trainer):
        raise Killed

    run, _ = here
    stored = change(recipe, train={"store": str(run / "store")})
    epochs = []
    with this_process():
        with pytest.raises(Killed):
            train(stored, tmp_path / "run", on_epoch=kill)
        train(stored, tmp_path / "run", on_epoch=lambda s, _: epochs.append(s["epoch"]))
    assert epochs == [2]
    assert_same_curve(tmp_path / "run", run)


def test_a_loss_that_is_not_finite_is_named(here, recipe, tmp_path):
    run, _ = here
    wild = change(recipe, train={"store": str(run / "store"), "lr": 1e30, "lr_end": 1e30})
    with this_process(), pytest.raises(NonFiniteLossError, match=r"at step \d+ .* on rank 0"):
        train(wild, tmp_path / "wild")


def test_crops_without_a_whole_patch_are_counted_and_said_once(
    recipe, without_ray, tmp_path, caplog
):
    """Batches of one image each, half of which are smaller than a patch of 16 pixels."""
    small = change(
        recipe,
        data={"short_side": 16, "scale": (0.7, 1.4)},
        train={"batch_size": 1, "epochs": 2},
    )
    with caplog.at_level("WARNING", logger="raynef"):
        result = train(small, tmp_path / "run")
    steps = [json.loads(line) for line in (tmp_path / "run/steps.jsonl").read_text().splitlines()]
    empty = sum(step["patches"] == 0 for step in steps)
    assert 0 < empty < len(steps) == result["steps"]
    assert result["empty_steps"] == empty
    assert sum("is skipped" in record.message for record in caplog.records) == 1
    last = [step for step in steps if step["epoch"] == 1 and step["patches"]]
    mean = sum(step["loss"] for step in last) / len(last)
    assert result["objective"]["loss"] == pytest.approx(mean)


def test_images_smaller_than_a_patch_are_named(recipe, without_ray, tmp_path):
    tiny = change(recipe, data={"short_side": 10, "scale": (1.0, 1.0)})
    with pytest.raises(UserError, match="not one training crop holds a whole patch"):
        train(tiny, tmp_path / "run")
