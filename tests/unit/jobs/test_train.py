"""Whole runs in this process: what is refused, what is named, and what may not change a weight."""

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from raynef.core.errors import UserError
from raynef.jobs.evaluate import evaluate
from raynef.jobs.train import train
from tests.tiny import change, in_fresh_process, scramble

pytestmark = pytest.mark.usefixtures("without_ray")


def weights(run):
    return (run / "segmenter" / "model.safetensors").read_bytes()


def test_a_finished_run_returns_its_result_and_refuses_another_recipe(run_here, recipe):
    out, result = run_here
    assert train(recipe, out) == result
    with pytest.raises(UserError, match=r"graph.alpha is 0.3, not 0.9"):
        train(change(recipe, graph={"alpha": 0.9}), out)


def test_a_run_that_is_held_is_refused(run_here, recipe):
    out, _ = run_here
    with FileLock(out / ".lock"), pytest.raises(UserError, match="another live run holds"):
        train(recipe, out)


def test_a_folder_of_something_else_is_refused(recipe, tmp_path):
    (tmp_path / "holiday.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        train(recipe, tmp_path)


def test_evaluation_names_what_is_wrong_with_a_label(run_here, recipe, copy_of_sample):
    out, _ = run_here
    wrong = copy_of_sample / "labels" / "val_00002.png"
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(wrong)
    spoiled = change(recipe, data={"root": str(copy_of_sample)})
    with pytest.raises(UserError, match=r"label of val_00002.jpg is 7x5 .* image is 128x96"):
        evaluate(out, recipe=spoiled)
    Image.fromarray(np.full((96, 128), 77, np.uint8)).save(wrong)
    with pytest.raises(UserError, match=r"label of val_00002.jpg holds 77"):
        evaluate(out, recipe=spoiled)
    wrong.unlink()
    with pytest.raises(UserError, match=r"1 of 4 images .* val_00002.jpg"):
        evaluate(out, recipe=spoiled)


def test_a_backbone_whose_patch_does_not_divide_the_crop_is_named(recipe, tmp_path):
    with pytest.raises(UserError, match="multiple of the patch size 16"):
        train(change(recipe, data={"crop": 72}), tmp_path / "run")


def test_scrambled_labels_leave_the_weights_bit_identical(
    run_here, recipe, copy_of_sample, tmp_path
):
    scramble(copy_of_sample)
    out = tmp_path / "scrambled"
    in_fresh_process(train, change(recipe, data={"root": str(copy_of_sample)}), out)
    assert weights(out) == weights(run_here[0])


def test_a_search_that_cannot_run_here_is_said_before_features_are_made(
    recipe, tmp_path, monkeypatch
):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(UserError, match=r"graph\.search fused"):
        train(change(recipe, graph={"search": "fused"}), tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.parquet"))
