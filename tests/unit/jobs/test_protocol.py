"""What whole commands hand on to the stages, on which published numbers depend; without Ray."""

import numpy as np
import pytest
import torch

from raynef.assign.kmeans import find_centroids
from raynef.assign.matching import match, score
from raynef.cluster.place import this_process
from raynef.eigen.psi import AttentionPsi
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.images.datasets.registry import open_split
from raynef.jobs.evaluate import evaluate
from raynef.jobs.kmeans import kmeans
from raynef.models.heads import LinearHead
from raynef.models.segmenter import Segmenter
from raynef.segment.crf import require_crf
from raynef.stores.features import FeatureStore
from raynef.stores.run import RunFolder, bind
from raynef.work.maps import CountingActor, count_sharpened
from raynef.work.patches import Source, sample_patches
from raynef.work.reading import Scoring, read_examples
from raynef.work.units import ImageUnit
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("one_thread")

NUM_CLUSTERS = 12
TAU = 0.1  # where the training of these runs ended: far from 1, and no default


@pytest.fixture(scope="module")
def sharpened(recipe):
    """The recipe with scores after a CRF too, and a training that ended at ``TAU``."""
    crf = {"crf": True, "crf_clusters": NUM_CLUSTERS}
    return change(recipe, eigen={"tau_end": TAU}, evaluate=crf)


@pytest.fixture
def a_run(sharpened, tmp_path):
    """Makes the folder of a run with a random head; no training."""

    def make(head=None):
        backbone = load_backbone(sharpened.backbone)
        torch.manual_seed(0)
        head = head or AttentionPsi(NUM_TAPS * backbone.dim, NUM_CLUSTERS)
        out = tmp_path / "run"
        out.mkdir()
        bind(RunFolder(out), sharpened)
        Segmenter(backbone, head, backbone_config=sharpened.backbone, short_side=64).save(
            out / "segmenter"
        )
        return out

    return make


def tables_of(out, recipe, split, temperature):
    """Clusters against classes before and after the CRF, [2, K, C]."""
    images = open_split(recipe.data, split)
    shape = (2, NUM_CLUSTERS, len(images.class_names))
    scoring = Scoring(recipe.evaluate, None, shape, temperature)
    examples = read_examples(ImageUnit(range(len(images.files)), images.files), scoring=scoring)
    counted = CountingActor(str(out), "cpu", scoring=scoring)(examples)
    return count_sharpened(counted, scoring=scoring).tables


def assert_scores(found, table, classes):
    expected = score(table, classes)
    assert found["miou"] == pytest.approx(expected.miou, abs=1e-9)
    assert found["accuracy"] == pytest.approx(expected.accuracy, abs=1e-9)


@pytest.mark.parametrize("kind", ["psi", "linear"])
def test_the_crf_starts_from_probabilities_at_the_temperature_of_the_head(a_run, sharpened, kind):
    """ψ's where its training ended; K-means' scores have that of their gaps. Each map has its own
    mapping."""
    require_crf()
    out = a_run(LinearHead(192, NUM_CLUSTERS) if kind == "linear" else None)
    right, wrong = (TAU, 1.0) if kind == "psi" else ("gap", 1.0)
    plain, after = tables_of(out, sharpened, "val", right)
    assert (after != tables_of(out, sharpened, "val", wrong)[1]).any()
    with this_process():
        result = evaluate(out, recipe=sharpened)
    assert_scores(result, plain, match(plain, "iou"))
    assert_scores(result["crf"], after, match(after, "iou"))
    if kind == "psi":  # the plain maps' mapping would have been told from its own
        assert score(after, match(plain, "iou")).miou != score(after, match(after, "iou")).miou


def test_named_on_the_training_split_and_scored_on_the_other(a_run, sharpened):
    recipe = change(sharpened, evaluate={"match_on": "train"})
    out = a_run()
    naming, scored = (tables_of(out, recipe, split, TAU) for split in ("train", "val"))
    with this_process():
        result = evaluate(out, recipe=recipe)
    for found, by, table in ((result, naming[0], scored[0]), (result["crf"], naming[1], scored[1])):
        classes = match(by, "iou")
        assert_scores(found, table, classes)
        own, other = score(table, classes).miou, score(table, match(table, "iou")).miou
        assert own != pytest.approx(other, abs=1e-6)
        assert own != pytest.approx(score(by, classes).miou, abs=1e-6)


@pytest.mark.parametrize("cosine", [False, True])
def test_kmeans_ends_with_a_pass_over_all_patches(recipe, tmp_path, cosine):
    """Its centers are the means of all patches nearest to those that faiss found on a sample."""
    few = change(recipe, kmeans={"max_points": 60, "iterations": 3, "cosine": cosine})
    with this_process():
        kmeans(few, tmp_path / "run")
        store = FeatureStore(tmp_path / "run" / "store")
        sample = sample_patches(Source(store, cosine=cosine), max_points=60, seed=0, job="sample")
    found = find_centroids(sample.rows, NUM_CLUSTERS, iterations=3, seed=0, cosine=cosine)

    parts = [store.read(store.images(), view=view) for view in range(store.num_views)]
    rows = torch.cat([part.taps[:, -1][part.valid.flatten(1)] for part in parts]).float().numpy()
    assert len(rows) == sample.num_patches > 2 * len(sample.rows)
    if cosine:
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    nearest = np.square(rows[:, None] - found[None]).sum(axis=2).argmin(axis=1)
    means = np.array(
        [rows[nearest == k].mean(axis=0) if (nearest == k).any() else found[k]
         for k in range(NUM_CLUSTERS)]
    )  # fmt: skip
    if cosine:
        means /= np.linalg.norm(means, axis=1, keepdims=True)
    centers = Segmenter.load(tmp_path / "run").head.head.weight.detach().numpy() / 2
    scale = np.abs(means).max()
    np.testing.assert_allclose(centers, means, atol=1e-3 * scale)
    assert np.abs(centers - found).max() > 0.05 * scale  # the pass does move them
