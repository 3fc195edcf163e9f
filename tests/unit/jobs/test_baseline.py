"""Baselines end to end: what they read, what they may not read, and what their folder does."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import raynef
from raynef.cli.baseline import BaselineKMeansPsi, OnImages
from raynef.cli.commands import parse
from raynef.cli.main import main
from raynef.cluster.place import this_process
from raynef.config.recipe import KMeans
from raynef.core.errors import UserError
from raynef.features.extract import extract_features
from raynef.io.files import read_json
from raynef.jobs.evaluate import evaluate
from raynef.jobs.kmeans import kmeans, kmeans_psi
from raynef.jobs.predict import predict
from raynef.jobs.probe import probe, probe_psi
from raynef.jobs.report import write_report
from raynef.jobs.train import train
from raynef.stores.features import FeatureStore
from raynef.work.patches import Source, sample_patches
from tests.known import a
from tests.tiny import change, in_fresh_process

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture(scope="module")
def trained(run_here, tmp_path_factory):
    """A copy, to which baselines may be written."""
    return Path(shutil.copytree(run_here[0], tmp_path_factory.mktemp("baseline") / "ours"))


@pytest.fixture(scope="module")
def clustered(trained, one_thread, recipe, tmp_path_factory):
    """K-means on the features that the trained run stored."""
    out = tmp_path_factory.mktemp("baseline") / "kmeans"
    with this_process():
        return out, kmeans(change(recipe, train={"store": str(trained / "store")}), out)


def weights(run):
    return (run / "segmenter" / "model.safetensors").read_bytes()


def scramble(root):
    """Give every image the label of another one, with its classes permuted."""
    paths = sorted((root / "labels").iterdir())
    labels = [np.array(Image.open(path)) for path in paths]
    for path, label in zip(paths, labels[1:] + labels[:1], strict=True):
        Image.fromarray(np.where(label == 255, 255, (label + 3) % 7).astype(np.uint8)).save(path)


def test_kmeans_says_what_it_saw(clustered, recipe):
    _, result = clustered
    assert (result["kind"], result["num_clusters"], result["num_images"]) == ("kmeans", 12, 10)
    assert result["points"] == result["points_of"] <= 2 * 10 * 16  # views, images, patches
    assert (result["supervised"], result["labels_leaked"]) == (False, False)


def test_its_centers_are_the_means_of_their_patches(clustered, trained):
    """A segmenter's head holds 2c and −‖c‖², with c the mean of the patches nearest to … c before.

    One more Lloyd step from converged centers on as few points changes nothing.
    """
    out, _ = clustered
    head = raynef.Segmenter.load(out).head
    centers = (head.head.weight / 2).detach().numpy()
    np.testing.assert_allclose(
        head.head.bias.detach().numpy(), -np.square(centers).sum(1), rtol=1e-4
    )
    rows = sample_patches(
        Source(FeatureStore(trained / "store")), max_points=10_000, seed=0, job="t"
    ).rows
    nearest = np.square(rows[:, None] - centers[None]).sum(2).argmin(1)
    for k in np.unique(nearest):
        np.testing.assert_allclose(rows[nearest == k].mean(0), centers[k], atol=0.02)


def test_a_baseline_is_evaluated_predicted_and_reported(clustered, sample, tmp_path):
    out, _ = clustered
    result = evaluate(out)
    assert 0 <= result["miou"] <= 1
    assert (result["num_images"], result["supervised"]) == (4, False)
    image = sample / "images" / "val_00000.jpg"
    assert predict(out, image, tmp_path / "maps")["num_clusters"] == 12
    page = Path(write_report(out)["report"])
    assert "kmeans" in page.read_text(encoding="utf-8")


def test_the_same_command_returns_the_result_and_another_kind_is_refused(
    clustered, trained, recipe
):
    out, result = clustered
    stored = change(recipe, train={"store": str(trained / "store")})
    assert kmeans(stored, out) == result
    with pytest.raises(UserError, match="holds a run of kind kmeans, not ours"):
        train(stored, out)
    with pytest.raises(UserError, match="no finished run of raynef train"):
        kmeans_psi(out)


def test_ours_star_is_kmeans_on_psis_features(trained, tmp_path):
    result = kmeans_psi(trained, tmp_path / "star")
    assert (result["kind"], result["trained"]) == ("kmeans-psi", str(trained))
    star, ours = raynef.Segmenter.load(tmp_path / "star"), raynef.Segmenter.load(trained)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    taps = extract_features(ours.backbone, pixels).taps
    with torch.inference_mode():
        hidden = ours.head.features(taps)[0]
        centers = star.head.head.weight / 2
        nearest = torch.cdist(hidden, centers).argmin(dim=1)
        assert torch.equal(star.patch_logits(pixels)[0].flatten(0, 1).argmax(1), nearest)
    assert evaluate(tmp_path / "star")["num_images"] == 4


def test_sampling_is_bounded_and_follows_from_the_seed(trained):
    source = Source(FeatureStore(trained / "store"))
    draws = [sample_patches(source, max_points=100, seed=seed, job="sample") for seed in (0, 0, 1)]
    assert [len(draw.rows) <= 100 for draw in draws] == [True] * 3
    assert len(draws[0].rows) > 60
    np.testing.assert_array_equal(draws[0].rows, draws[1].rows)
    assert draws[0].rows.shape != draws[2].rows.shape or (draws[0].rows != draws[2].rows).any()


def test_bfloat16_makes_nearly_the_same_features_of_psi(trained):
    store = FeatureStore(trained / "store")
    exact, half = (
        sample_patches(
            Source(store, trained / "segmenter", precision=precision),
            max_points=10_000,
            seed=0,
            job="sample",
        ).rows
        for precision in ("float32", "bfloat16")
    )
    difference = np.linalg.norm(half - exact) / np.linalg.norm(exact)
    assert 1e-4 < difference < 0.03  # bfloat16 has 8 bits


def test_cosine(trained, recipe, tmp_path):
    stored = change(recipe, train={"store": str(trained / "store")}, kmeans={"cosine": True})
    kmeans(stored, tmp_path / "cosine")
    segmenter = raynef.Segmenter.load(tmp_path / "cosine")
    assert segmenter.head.cosine
    lengths = (segmenter.head.head.weight / 2).norm(dim=1)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-5)


def test_no_label_reaches_what_is_label_free(trained, clustered, recipe, copy_of_sample, tmp_path):
    """Scrambled labels, even unreadable ones: bit-identical K-means and Ours*."""
    kmeans_psi(trained, tmp_path / "star")
    scramble(copy_of_sample)
    moved = change(recipe, data={"root": str(copy_of_sample)})
    in_fresh_process(train, moved, tmp_path / "ours")
    for path in (copy_of_sample / "labels").iterdir():
        path.write_bytes(b"no image")
    stored = change(moved, train={"store": str(tmp_path / "ours" / "store")})
    kmeans(stored, tmp_path / "kmeans")
    kmeans_psi(tmp_path / "ours", tmp_path / "star2")
    assert weights(tmp_path / "ours") == weights(trained)
    assert weights(tmp_path / "kmeans") == weights(clustered[0])
    assert weights(tmp_path / "star2") == weights(tmp_path / "star")


def test_probes_are_supervised_and_say_so(trained, recipe, sample, tmp_path):
    stored = change(
        recipe,
        train={"store": str(trained / "store")},
        probe={"epochs": 300, "lr": 0.05, "batch_size": 64},
    )
    result = probe(stored, tmp_path / "probe")
    names = (sample / "classes.txt").read_text().split("\n")
    assert result["supervised"]
    assert result["num_clusters"] == len([name for name in names if name])
    scored = evaluate(tmp_path / "probe")
    assert scored["supervised"]
    on_psi = probe_psi(trained, tmp_path / "probe-psi")
    assert on_psi["supervised"]
    assert evaluate(tmp_path / "probe-psi")["num_images"] == 4
    # It saw the labels of these very images: better than naming twelve clusters by them.
    own = change(stored, data={"val_split": "train"})
    seen = evaluate(tmp_path / "probe", recipe=own)["accuracy"]
    kmeans(stored, tmp_path / "kmeans")
    assert seen > evaluate(tmp_path / "kmeans", recipe=own)["accuracy"]


def test_probe_needs_labels(trained, recipe, copy_of_sample, tmp_path):
    shutil.rmtree(copy_of_sample / "labels")
    moved = change(
        recipe, data={"root": str(copy_of_sample)}, train={"store": str(trained / "store")}
    )
    with pytest.raises(UserError, match="no label"):
        probe(moved, tmp_path / "probe")


@pytest.fixture(scope="module")
def leaked(trained, one_thread, recipe, tmp_path_factory):
    """A run with train.leak_labels, and its result."""
    out = tmp_path_factory.mktemp("baseline") / "leaked"
    with this_process():
        return out, train(leaking(recipe, trained), out)


def leaking(recipe, trained, **options):
    options = {"store": str(trained / "store"), **options}
    return change(recipe, train={"leak_labels": True, **options})


def cross_entropies(run):
    steps = (run / "steps.jsonl").read_text().splitlines()
    return [json.loads(step)["cross_entropy"] for step in steps]


def test_leaked_labels_are_recorded_wherever_the_run_is_shown(leaked, trained):
    out, result = leaked
    assert result["labels_leaked"]
    assert read_json(out / "run.json")["recipe"]["train"]["leak_labels"]
    assert raynef.Segmenter.load(out).labels_leaked
    assert weights(out) != weights(trained)
    assert evaluate(out)["labels_leaked"]
    assert kmeans_psi(out)["labels_leaked"]
    assert not read_json(trained / "train.json")["labels_leaked"]
    assert min(cross_entropies(out)) > 0


def test_leaked_labels_are_loud_and_felt(leaked, trained, recipe, copy_of_sample, tmp_path, caplog):
    """Other labels, other weights: they do go in."""
    scramble(copy_of_sample)
    moved = change(leaking(recipe, trained), data={"root": str(copy_of_sample)})
    with caplog.at_level(logging.WARNING, logger="raynef"):
        train(moved, tmp_path / "scrambled")
    warned = [record.message for record in caplog.records if "train.leak_labels" in record.message]
    assert len(warned) == 1
    assert "ψ is trained on LABELS" in warned[0]
    assert weights(tmp_path / "scrambled") != weights(leaked[0])


def test_leaked_labels_have_one_curve_where_features_are_streamed(
    leaked, trained, recipe, tmp_path
):
    train(leaking(recipe, trained, features="streamed", store=None), tmp_path / "other")
    np.testing.assert_allclose(
        cross_entropies(tmp_path / "other"), cross_entropies(leaked[0]), rtol=1e-3
    )


def test_commands(trained, capsys):
    for arguments, kind in (
        (["kmeans-psi", str(trained), "--kmeans.iterations", "3"], "kmeans-psi"),
        (["probe-psi", str(trained), "--probe.epochs", "2"], "probe-psi"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(["baseline", *arguments])
        assert exit_.value.code == 0
        result = json.loads(capsys.readouterr().out)
        assert result["kind"] == kind
        assert (trained / kind / "segmenter" / "config.json").is_file()


def test_flags_go_over_the_recipe_or_over_the_runs_own(trained, tmp_path):
    out = ["--out", str(tmp_path / "out")]
    flags = ["--recipe", "folder", "--eigen.num-eigenfunctions", "9", "--kmeans.cosine"]
    method = a(OnImages, parse(["baseline", "kmeans", *flags, "--train.seed", "4", *out]))
    assert method.config.eigen.num_eigenfunctions == 9
    assert (method.config.kmeans.cosine, method.config.train.seed) == (True, 4)
    assert (method.config.data.short_side, method.out) == (320, tmp_path / "out")
    method = a(OnImages, parse(["baseline", "probe", "--probe.lr", "0.1", *out]))
    assert (method.config.probe.lr, method.config.probe.epochs) == (0.1, 10)
    flags = [str(trained), "--kmeans.max-points", "77"]
    of_run = a(BaselineKMeansPsi, parse(["baseline", "kmeans-psi", *flags]))
    assert (of_run.kmeans, of_run.out) == (KMeans(max_points=77), None)
    with pytest.raises(UserError, match="is not a raynef run"):
        parse(["baseline", "probe-psi", str(tmp_path)])


def test_settings_of_ours_star(trained, tmp_path):
    result = kmeans_psi(trained, tmp_path / "few", settings=KMeans(max_points=50, iterations=2))
    assert result["points"] <= 50
    assert result["iterations"] == 2


def test_a_label_that_cannot_be_used_is_said_before_training(
    trained, recipe, copy_of_sample, tmp_path
):
    """Both for the probe and for labels that leak; each with its own reason."""
    stored = change(
        recipe,
        data={"root": str(copy_of_sample)},
        train={"store": str(trained / "store"), "leak_labels": True},
    )
    spoiled = copy_of_sample / "labels" / "train_00003.png"
    for content, message in (
        (b"no image", r"1 label\(s\) cannot be used: .*train_00003.png cannot be read"),
        (np.full((96, 128), 99), "the label of train_00003.jpg holds 99, which is none of the"),
        (np.zeros((5, 7)), "the label of train_00003.jpg is 7x5, but its image is 128x96"),
    ):
        if isinstance(content, bytes):
            spoiled.write_bytes(content)
        else:
            Image.fromarray(content.astype(np.uint8)).save(spoiled)
        for job in (probe, train):
            with pytest.raises(UserError, match=message):
                job(stored, tmp_path / job.__name__)
        assert not (tmp_path / "train" / "checkpoints").exists()
