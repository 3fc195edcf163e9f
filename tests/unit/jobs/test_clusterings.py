"""A run that learns clusterings: label-free, resumable, and what builds upon it. In one process."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import raynef
from raynef.assign.context import in_context
from raynef.assign.kmeans import nearest_centroids
from raynef.cluster.place import this_process
from raynef.core.errors import UserError
from raynef.eigen.conv_psi import ConvPsi
from raynef.jobs.evaluate import evaluate
from raynef.jobs.kmeans import kmeans, kmeans_psi
from raynef.jobs.predict import predict
from raynef.jobs.spectral.bridge import compare_spectra
from raynef.jobs.train import train
from raynef.models.heads import LinearHead
from raynef.stores.features import FeatureStore
from tests.known import present
from tests.tiny import change, scramble

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture(scope="module")
def learned(recipe):
    return change(
        recipe,
        data={"views": "shifted", "num_views": 3, "shift": 2},
        eigen={"objective": "clusterings", "network": "convolution", "head": "kmeans"},
        teachers={"contexts": (0.3, 0.9)},
    )


@pytest.fixture(scope="module")
def finished(one_thread, learned, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("learned") / "run"
    with this_process():
        train(learned, out)
    return out


def weights(run):
    return (run / "segmenter" / "model.safetensors").read_bytes()


def trunk_in(run):
    head = raynef.Segmenter.load(run).head
    assert isinstance(head, LinearHead)
    return present(head.trunk).state_dict()


def test_what_a_run_holds(finished, learned):
    result = json.loads((finished / "train.json").read_text())
    assert set(result["objective"]) == {"loss", "clusters_in_use", "entropy"}
    assert result["head"]["num_clusters"] == 12
    assert result["head"]["points_of"] == 10 * 16  # patches of the images, not of all views
    steps = [json.loads(line) for line in (finished / "steps.jsonl").read_text().splitlines()]
    assert len(steps) == 4
    assert "trace" not in steps[0]
    assert steps[-1]["loss"] < steps[0]["loss"]
    centers = safetensors.torch.load_file(finished / "teachers.safetensors")["centers"]
    assert centers.shape == (2, 12, 2 * 192)


def test_scrambled_labels_leave_the_weights_bit_identical(
    finished, learned, copy_of_sample, tmp_path
):
    scramble(copy_of_sample)
    out = tmp_path / "scrambled"
    train(change(learned, data={"root": str(copy_of_sample)}), out)
    assert weights(out) == weights(finished)


def test_a_killed_run_ends_with_the_same_weights(finished, learned, tmp_path):
    def kill(summary, _trainer):
        if summary["epoch"] == 1:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(learned, out, on_epoch=kill)
    (out / "store").rename(tmp_path / "elsewhere")  # its teachers are not found again
    shutil.copytree(tmp_path / "elsewhere", out / "store")
    before = (out / "teachers.safetensors").stat().st_mtime_ns
    train(learned, out)
    assert (out / "teachers.safetensors").stat().st_mtime_ns == before
    assert weights(out) == weights(finished)


def test_its_head_is_kmeans_of_its_own_features(finished, tmp_path):
    head = raynef.Segmenter.load(finished).head
    assert isinstance(head, LinearHead)
    assert isinstance(head.trunk, ConvPsi)
    result = kmeans_psi(finished, tmp_path / "again")
    again = raynef.Segmenter.load(result["run"]).head
    for name, tensor in head.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


def test_the_trained_head_is_the_first_teachers(learned, finished, tmp_path):
    out = tmp_path / "trained"
    chosen = {"store": str(finished / "store")}
    train(change(learned, eigen={"head": "trained"}, train=chosen), out)
    head = raynef.Segmenter.load(out).head
    assert isinstance(head, ConvPsi)
    assert head.head.out_features == 12
    for name, tensor in trunk_in(finished).items():
        assert torch.equal(head.state_dict()[name], tensor), name


def test_it_is_scored_and_predicts_at_any_size(finished, learned, tmp_path):
    scores = evaluate(finished)
    assert 0 < scores["miou"] <= 1
    predict(finished, learned.data.root + "/images", tmp_path / "maps")
    clusters = np.asarray(Image.open(tmp_path / "maps/clusters/val_00001.png"))
    assert clusters.shape == (96, 128)
    direct = raynef.Segmenter.load(finished)(learned.data.root + "/images/val_00001.jpg")
    assert np.array_equal(clusters, direct.clusters)


def test_it_is_lengthened_and_another_starts_from_it(finished, learned, tmp_path):
    longer, warm = tmp_path / "longer", tmp_path / "warm"
    shutil.copytree(finished, longer)
    result = train(change(learned, train={"epochs": 3}), longer)
    assert result["lengths"] == [{"epochs": 2, "from_step": 0}, {"epochs": 3, "from_step": 4}]
    still = {"store": str(finished / "store"), "lr": 1e-9, "lr_end": 1e-9}
    train(change(learned, train=still), warm, init_from=finished)
    trunks = [trunk_in(run) for run in (finished, warm)]
    for name, tensor in trunks[0].items():
        torch.testing.assert_close(trunks[1][name], tensor, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match=r"eigen\.network is convolution there, attention here"):
        train(change(learned, eigen={"network": "attention"}), tmp_path / "x", init_from=finished)


def test_what_its_kmeans_is_made_by_is_part_of_the_run(finished, learned):
    with pytest.raises(UserError, match=r"kmeans.iterations is 25, not 3"):
        train(change(learned, kmeans={"iterations": 3}), finished)


def test_it_has_no_eigenfunctions_to_compare(finished, learned, tmp_path):
    with pytest.raises(UserError, match="no eigenfunctions"):
        compare_spectra(finished, learned.data.root + "/images")


def test_kmeans_in_context_predicts_by_the_joined_features(learned, finished, tmp_path):
    """The saved head on the store's features: the nearest of its centers, in the joined space."""
    chosen = change(learned, kmeans={"context": 0.7}, train={"store": str(finished / "store")})
    result = kmeans(chosen, tmp_path / "context")
    assert result["context"] == 0.7
    head = raynef.Segmenter.load(result["run"]).head
    assert head.context == 0.7
    features = FeatureStore(finished / "store").read([0, 1, 2], view=0)
    rows = in_context(features.taps[:, -1].float(), None, 0.7)
    with torch.no_grad():
        found = head(features.taps.float()).argmax(dim=-1)
    centers = (head.head.weight / 2).detach().numpy()
    assert np.array_equal(found.flatten(), nearest_centroids(rows.flatten(0, 1).numpy(), centers))
    predict(result["run"], learned.data.root + "/images", tmp_path / "maps")


def test_there_are_as_many_steps_as_asked_for_at_least(learned, finished, tmp_path):
    """Two steps an epoch: two epochs are too few for seven steps, four are enough."""
    chosen = {"store": str(finished / "store"), "min_steps": 7}
    result = train(change(learned, train=chosen), tmp_path / "run")
    assert (result["epochs"], result["steps"]) == (4, 8)
    again = train(change(learned, train={**chosen, "epochs": 3}), tmp_path / "run")
    assert again["steps"] == 8
    longer = train(change(learned, train={**chosen, "epochs": 5}), tmp_path / "run")
    assert (longer["epochs"], longer["steps"]) == (5, 10)
