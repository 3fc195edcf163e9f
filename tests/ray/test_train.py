"""Whole runs through Ray: train, evaluate, predict, report, and what may not change them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import raynef
from raynef.images.decode import read_image
from raynef.io.loggers.to_tensorboard import event_files, read_events
from raynef.jobs.evaluate import evaluate
from raynef.jobs.predict import predict
from raynef.jobs.report import write_report
from raynef.jobs.train import train
from tests.known import present
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("local_ray")


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "steps.jsonl").read_text().splitlines()]


def weights(run):
    return (run / "segmenter" / "model.safetensors").read_bytes()


def test_a_run_leaves_its_record_its_steps_and_its_segmenter(run_on_ray, recipe):
    out, result = run_on_ray
    record = json.loads((out / "run.json").read_text())
    assert record["recipe"]["train"]["batch_size"] == 5
    assert {"python", "torch", "ray", "timm"} <= record["environment"]["versions"].keys()
    assert record["environment"]["machine"]["cores"] >= 1
    assert len(losses(out)) == result["steps"] == 4
    assert {"loss", "trace", "penalty", "clusters_in_use", "entropy", "columns_below_1"} == set(
        result["objective"]
    )
    assert result["images_per_second"] > 0
    assert result["num_images"] == 10
    path = recipe.data.root + "/images/val_00000.jpg"
    segments = raynef.Segmenter.load(out)(path)
    assert segments.clusters.shape == read_image(path).shape[:2] == (96, 128)
    assert segments.classes is None


def test_workers_tell_the_log_of_every_epoch(run_on_ray):
    out, result = run_on_ray
    events = [e for path in event_files(out / "tensorboard") for e in read_events(path)]
    values = [(event.step, value) for event in events for value in event.summary.value]
    losses = [(step, v.simple_value) for step, v in values if v.tag == "train/loss"]
    assert [step for step, _ in losses] == [1, 2]
    assert losses[-1][1] == pytest.approx(result["objective"]["loss"])


def test_two_workers_give_the_curve_of_one(run_on_ray, recipe, tmp_path):
    two = tmp_path / "two"
    store = str(run_on_ray[0] / "store")
    train(change(recipe, train={"num_workers": 2, "store": store}), two)
    np.testing.assert_allclose(losses(two), losses(run_on_ray[0]), rtol=1e-3)


@pytest.mark.slow
def test_more_epochs_go_on_on_workers_and_others_start_from_them(run_on_ray, recipe, tmp_path):
    """Ray Train keeps a record of its own in the folder of checkpoints, of a run that is over."""
    longer, warm = Path(shutil.copytree(run_on_ray[0], tmp_path / "longer")), tmp_path / "warm"
    result = train(change(recipe, train={"epochs": 3, "num_workers": 2}), longer)
    assert result["lengths"] == [{"epochs": 2, "from_step": 0}, {"epochs": 3, "from_step": 4}]
    assert losses(longer)[:4] == losses(run_on_ray[0])
    assert len(losses(longer)) == 6
    shared = {"num_workers": 2, "store": str(longer / "store"), "lr": 1e-9, "lr_end": 1e-9}
    train(change(recipe, train=shared), warm, init_from=longer)
    heads = [raynef.Segmenter.load(run).head.state_dict() for run in (longer, warm)]
    for name, tensor in heads[0].items():
        np.testing.assert_allclose(heads[1][name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_leaked_labels_have_one_curve_on_two_workers(run_on_ray, recipe, tmp_path):
    store = str(run_on_ray[0] / "store")
    curves = []
    for workers in (1, 2):
        run = tmp_path / str(workers)
        options = {"leak_labels": True, "store": store, "num_workers": workers}
        train(change(recipe, train=options), run)
        steps = (run / "steps.jsonl").read_text().splitlines()
        curves.append([json.loads(step)["cross_entropy"] for step in steps])
    np.testing.assert_allclose(*curves, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_streamed_features_make_the_batches_of_stored_ones(
    run_on_ray, recipe, tmp_path, num_workers
):
    """With two views and two epochs, both modes train on the same views in the same order."""
    streamed = tmp_path / "streamed"
    train(change(recipe, train={"features": "streamed", "num_workers": num_workers}), streamed)
    np.testing.assert_allclose(losses(streamed), losses(run_on_ray[0]), rtol=1e-3)
    assert not (streamed / "store").exists()


def test_evaluation_prediction_and_report(run_on_ray, recipe, tmp_path):
    out = Path(shutil.copytree(run_on_ray[0], tmp_path / "run"))  # its clusters get names
    scores = evaluate(out)
    classes = Path(recipe.data.root, "classes.txt").read_text().split()
    assert list(scores["per_class_iou"]) == classes
    assert scores["num_images"] == 4
    assert 0 < scores["miou"] <= 1
    assert 0 < scores["accuracy"] <= 1
    assert "320" not in scores["protocol"]
    assert present(raynef.Segmenter.load(out).mapping).class_names == tuple(classes)

    result = predict(out, recipe.data.root + "/images", tmp_path / "maps")
    assert result["num_images"] == 14
    clusters = np.asarray(Image.open(tmp_path / "maps/clusters/val_00001.png"))
    assert clusters.shape == (96, 128)
    assert clusters.dtype == np.uint8
    assert clusters.max() < 12
    direct = raynef.Segmenter.load(out)(recipe.data.root + "/images/val_00001.jpg")
    assert np.array_equal(clusters, direct.clusters)
    assert np.asarray(Image.open(tmp_path / "maps/overlays/val_00001.png")).shape == (96, 128, 3)
    assert json.loads((tmp_path / "maps/classes.json").read_text())["0"] == classes[0]

    text = Path(write_report(out)["report"]).read_text()
    assert f"{100 * scores['miou']:.1f}" in text
    assert "<svg" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "data:image" in text
    assert "data:image" not in Path(write_report(out, images=False)["report"]).read_text()
