"""Jobs on an Apple GPU that is pretended: nothing that it lacks is asked of it.

No Mac is here. What the pretended one computes is right, and it refuses what the real one does.
"""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional

from raynef.config.recipe import SelfTrain, Spectral
from raynef.features.fallback import completed
from raynef.images.decode import read_image
from raynef.jobs import kmeans, nystrom, probe
from raynef.jobs.evaluate import evaluate
from raynef.jobs.predict import predict
from raynef.jobs.report import write_report
from raynef.jobs.spectral.eigen import eigen
from raynef.jobs.spectral.selftrain import selftrain
from raynef.jobs.spectral.semantic import semantic
from raynef.jobs.train import train
from raynef.models.segmenter import Segmenter
from raynef.models.strips import strips
from raynef.ops.plan import plan
from tests.fake_mps import OnMps, fake_mps
from tests.tiny import change
from tests.unit.models.test_strips import Array

MPS = torch.device("mps")
pytestmark = pytest.mark.usefixtures("without_ray")


def test_the_pretended_gpu_refuses_what_the_real_one_does(monkeypatch):
    with fake_mps(monkeypatch):
        ones = torch.ones(2, 2, device="mps")
        assert isinstance(ones @ ones, OnMps)
        for error, refused in [
            (TypeError, lambda: ones.double()),
            (TypeError, lambda: torch.ones(2, dtype=torch.float64).to("mps")),
            (TypeError, lambda: torch.zeros(2, dtype=torch.float64, device="mps")),
            (NotImplementedError, lambda: torch.linalg.qr(ones)),
            (NotImplementedError, lambda: ones.to_sparse_csr()),
            (RuntimeError, lambda: ones + torch.ones(2)),
        ]:
            with pytest.raises(error):
                refused()


def test_what_a_backbone_finds_missing_is_computed_on_the_cpu(monkeypatch, caplog):
    caplog.set_level("INFO", logger="raynef")
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def resized(values):
        return functional.interpolate(values, size=(5, 5), mode="bicubic", antialias=True)

    expected = resized(images)
    with fake_mps(monkeypatch):
        there = images.to(MPS)
        with pytest.raises(NotImplementedError):
            resized(there)
        with completed(MPS):
            found = resized(there)
        assert found.device == MPS
        assert torch.equal(found.cpu(), expected)
        found.sum().backward()
    assert images.grad is not None
    assert "interpolate is not there on mps: it is computed on the CPU" in caplog.text
    with completed(torch.device("cpu")), pytest.raises(NotImplementedError, match="mine"):
        raise NotImplementedError("mine")


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "steps.jsonl").read_text().splitlines()]


def test_a_run_is_that_of_the_cpu(recipe, run_here, tmp_path, monkeypatch):
    with fake_mps(monkeypatch) as gpu:
        result = train(recipe, tmp_path / "run")
        assert "_fused_adam_" in gpu.calls
        gpu.calls.clear()
        found = evaluate(tmp_path / "run")
        assert "native_layer_norm" in gpu.calls
    assert result["precision"] == "float32"
    assert 0 < found["miou"] < 1
    ours, theirs = losses(tmp_path / "run"), losses(run_here[0])
    assert ours[0] == pytest.approx(theirs[0], rel=1e-4)
    assert ours == pytest.approx(theirs, rel=1e-2)  # sums in another order, grown by Adam


@pytest.mark.parametrize(
    "sections",
    [
        {"eigen": {"objective": "clusterings", "network": "convolution"}},
        {"train": {"leak_labels": True, "features": "streamed"}},
    ],
    ids=["clusterings", "leaked"],
)
def test_other_objectives(recipe, sections, tmp_path, monkeypatch):
    sections = {**sections, "train": {"epochs": 1, **sections.get("train", {})}}
    with fake_mps(monkeypatch) as gpu:
        train(change(recipe, **sections), tmp_path / "run")
        assert "_fused_adam_" in gpu.calls
    assert all(map(math.isfinite, losses(tmp_path / "run")))


def test_a_segmenter(run_here, sample, tmp_path, monkeypatch):
    run, picture = run_here[0], sample / "images" / "val_00001.jpg"
    expected = Segmenter.load(run)(picture)
    with fake_mps(monkeypatch) as gpu:
        found = Segmenter.load(run).to(MPS)(picture)
        assert gpu.calls
        gpu.calls.clear()
        predict(run, picture.parent, tmp_path / "segments")
        assert "convolution" in gpu.calls
    assert (found.clusters == expected.clusters).mean() > 0.999
    np.testing.assert_allclose(found.scores(), expected.scores(), atol=1e-4)


def test_a_scene_a_few_rows_at_a_time(run_here, sample, monkeypatch):
    pixels = read_image(str(sample / "images" / "val_00001.jpg"))

    def clusters(segmenter):
        return np.concatenate([strip.clusters for strip in strips(segmenter, Array(pixels), 64)])

    expected = clusters(Segmenter.load(run_here[0]))
    with fake_mps(monkeypatch) as gpu:
        found = clusters(Segmenter.load(run_here[0]).to(MPS))
        assert "convolution" in gpu.calls
    assert (found == expected).mean() > 0.999


def deep_spectral(recipe, _run, out):
    few = Spectral(num_eigenvectors=4, num_segments=4, num_clusters=3)
    network = SelfTrain(steps=2, batch_size=3, crop=64, lr=1e-3, frozen=10, checkpoint_steps=2)
    small = dataclasses.replace(recipe, spectral=few, selftrain=network)
    eigen(small, out)
    semantic(out, small)
    selftrain(out, small)


def resumed(recipe, _run, out):
    train(change(recipe, train={"epochs": 1}), out)
    train(recipe, out)


JOBS = {
    "kmeans": lambda recipe, _run, out: kmeans.kmeans(recipe, out),
    "kmeans_psi": lambda _recipe, run, out: kmeans.kmeans_psi(run, out),
    "nystrom": lambda recipe, _run, out: nystrom.spectral(
        change(recipe, nystrom={"num_neighbors": 8}), out
    ),
    "probe_psi": lambda _recipe, run, out: probe.probe_psi(run, out),
    "plan": lambda recipe, _run, _out: plan(recipe),
    "report": lambda _recipe, run, _out: write_report(run),
    "resumed": resumed,
    "spectral": deep_spectral,
}


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_other_jobs(job, recipe, run_here, tmp_path, monkeypatch):
    run = shutil.copytree(run_here[0], tmp_path / "run")
    with fake_mps(monkeypatch) as gpu:
        JOBS[job](recipe, run, tmp_path / "out")
        assert "addmm" in gpu.calls
