"""In which precision features are computed, what stores say of it, and what scores are made in."""

import json

import numpy as np
import pytest
import ray
import torch

from raynef.cluster import session
from raynef.cluster.session import FEATURES, FeatureActors, feature_actors
from raynef.core.errors import UserError
from raynef.eigen.psi import AttentionPsi
from raynef.features import precision as feature_precision
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.features.extract import extract_features
from raynef.images.augment import augment
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image
from raynef.jobs.extract import ensure_store
from raynef.jobs.spectral.eigen import EigenStore, eigen
from raynef.jobs.spectral.features import WholeFeatures
from raynef.jobs.spectral.semantic import semantic
from raynef.models.segmenter import Segmenter
from raynef.stores import precision as precision_module
from raynef.stores.features import FeatureStore, store_key
from raynef.stores.kept import TapCache
from raynef.work.views import FeatureActor
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("without_ray")
HALF = {"feature_precision": "bfloat16"}


@pytest.fixture
def recipe(recipe, monkeypatch):
    """As a user has it, on a processor without bfloat16."""
    monkeypatch.setattr(feature_precision, "has_bfloat16", lambda device: False)
    return change(recipe, backbone={"precision": "auto"})


@pytest.fixture
def gpus(monkeypatch):
    """As if feature actors had GPUs, for whoever decides what a new store is made in."""
    pool = FeatureActors(1, num_cpus=1, num_gpus=1, threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(precision_module, "feature_actors", lambda: pool)
        yield patch


def computed(recipe, index, *, view, precision):
    """Taps of one view, as a store holds them."""
    file = open_split(recipe.data, "train").files[index]
    seen = augment(read_image(file.path), recipe.data, seed=0, view=view, index=index)
    backbone = load_backbone(recipe.backbone)
    extents = np.array([seen.extent])
    return extract_features(backbone, seen.pixels[None], extents, precision=precision).taps.half()


def test_float32_goes_without_saying(recipe, tmp_path):
    """So that the stores of CPUs, which were made before, have the keys that they have."""
    images = open_split(recipe.data, "train")
    store = ensure_store(recipe, images, tmp_path)
    assert store.key == store_key(recipe, images)
    assert set(store.key) == {
        "format", "files", "num_images", "backbone", "weights", "tap", "short_side", "crop",
        "scale", "flip", "photometric", "hue_degrees", "num_views", "seed",
    }  # fmt: skip


def test_what_gpus_began_is_finished_and_read_alike_without_them(recipe, tmp_path, gpus):
    images = open_split(recipe.data, "train")
    original, units = FeatureActor.__call__, []

    def killed_at_the_second(actor, unit):
        units.append(unit.unit.file)
        if len(units) == 2:
            raise KeyboardInterrupt
        return original(actor, unit)

    gpus.setattr(FeatureActor, "__call__", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        ensure_store(recipe, images, tmp_path)
    gpus.undo()
    assert feature_actors().precision() == "float32"

    store = ensure_store(recipe, images, tmp_path)
    assert len(store.images()) == 10
    assert store.key == {**store_key(recipe, images), **HALF}
    for view in (0, 1):  # a shard each: of the GPUs, and of the CPU that went on
        taps = store.read([3], view=view).taps
        expected = computed(recipe, 3, view=view, precision="bfloat16")
        other = computed(recipe, 3, view=view, precision="float32")
        near = (taps - expected).abs().max()
        assert (taps - other).abs().max() > 20 * near  # another batch: the last bit may differ
    made = (tmp_path / "manifest.json").stat().st_mtime_ns
    assert ensure_store(recipe, images, tmp_path).key == store.key
    assert (tmp_path / "manifest.json").stat().st_mtime_ns == made

    (tmp_path / "manifest.json").write_text("{")  # of a damaged one the journal tells
    assert ensure_store(recipe, images, tmp_path).key == store.key


def test_a_processor_with_bfloat16_computes_in_it(recipe, tmp_path, monkeypatch):
    """Stores and segmenters, unless float32 is asked for, which such a store is not."""
    monkeypatch.setattr(feature_precision, "has_bfloat16", lambda device: True)
    images = open_split(recipe.data, "train")
    asked = {
        name: change(recipe, backbone={"precision": name})
        for name in ("auto", "bfloat16", "float32")
    }
    stores = {name: ensure_store(one, images, tmp_path / name).key for name, one in asked.items()}
    assert stores["auto"] == stores["bfloat16"] == {**stores["float32"], **HALF}
    said = "backbone.precision is 'bfloat16' there, 'float32' here"
    with pytest.raises(UserError, match=said):
        ensure_store(asked["float32"], images, tmp_path / "auto")

    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    taps = {}
    for name, one in asked.items():
        backbone = load_backbone(one.backbone)
        psi = AttentionPsi(NUM_TAPS * backbone.dim, 12, num_blocks=1)
        taps[name] = Segmenter(backbone, psi, backbone_config=one.backbone, short_side=64).taps(
            pixels
        )
        assert taps[name].dtype == torch.float32
    assert torch.equal(taps["auto"], taps["bfloat16"])
    largest = (taps["auto"] - taps["float32"]).abs().max()
    assert 1e-4 < largest / taps["float32"].abs().max() < 0.05
    monkeypatch.setattr(feature_precision, "has_bfloat16", lambda device: False)
    assert ensure_store(recipe, images, tmp_path / "auto").key == stores["auto"]  # as it was begun


def test_a_store_in_an_unknown_precision_is_refused(recipe, tmp_path):
    images = open_split(recipe.data, "train")
    ensure_store(recipe, images, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["key"]["feature_precision"] = "float8"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="made in 'float8'; this raynef knows float32 and bfloat16"):
        ensure_store(recipe, images, tmp_path)


def node(**resources):
    return {"Alive": True, "Resources": {"CPU": 4.0, **resources}}


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node(), node(GPU=1.0)], "bfloat16"),  # a driver without a GPU, a worker with one
        ([node(), node()], "float32"),  # whose processors may differ
        ([node(**{FEATURES: 4.0}), node(GPU=1.0)], "float32"),  # GPUs are there to train alone
        ([node(GPU=8.0), node(GPU=1.0, **{FEATURES: 1.0})], "bfloat16"),
        ([node()], None),  # this machine
    ],
)
def test_the_pool_decides_not_the_driver(monkeypatch, nodes, native, expected):
    expected = expected or ("bfloat16" if native else "float32")
    monkeypatch.setattr(feature_precision, "has_bfloat16", lambda device: native)
    monkeypatch.setattr(session, "in_this_process", lambda: False)
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert feature_actors().precision() == expected
    assert [feature_actors().precision(asked) for asked in ("bfloat16", "float32")] == [
        "bfloat16",
        "float32",
    ]


def test_stores_of_eigenpairs_say_it_too(recipe, tmp_path, gpus):
    whole = change(
        recipe,
        data={"train_split": "val"},
        spectral={"max_side": 64, "num_eigenvectors": 3, "num_segments": 3, "num_clusters": 2},
    )
    eigen(whole, tmp_path / "gpu")
    gpus.undo()
    eigen(whole, tmp_path / "cpu")
    half, single = (WholeFeatures(tmp_path / name / "features") for name in ("gpu", "cpu"))
    assert half.key == {**single.key, **HALF}
    assert "feature_precision" not in single.key
    pairs = EigenStore(tmp_path / "gpu" / "eigen")
    assert pairs.key == {**EigenStore(tmp_path / "cpu" / "eigen").key, **HALF}
    difference = (half.read(0) - single.read(0)).abs().max()
    assert 1e-3 < difference < 0.5

    crops = []
    original = torch.autocast.__init__

    def noting(context, *args, enabled=True, **kwargs):
        crops.append(enabled)
        original(context, *args, enabled=enabled, **kwargs)

    gpus.setattr(torch.autocast, "__init__", noting)
    semantic(tmp_path / "gpu", whole)  # on this CPU: crops of segments, in the store's precision
    gpus.undo()
    assert crops
    assert all(crops)
    for one, other in (("gpu", "cpu"), ("cpu", "gpu")):
        with pytest.raises(UserError, match=r"made with feature_precision .*do not fit"):
            semantic(tmp_path / one, whole, on=tmp_path / other)


@pytest.mark.parametrize("head", ["psi", "trunk"])
def test_scores_are_float32_on_a_gpu_too(recipe, monkeypatch, head):
    """A GPU is pretended: what autocast does there it does on this CPU."""
    from raynef.models.heads import LinearHead, trunk_of

    backbone = load_backbone(recipe.backbone)
    psi = AttentionPsi(NUM_TAPS * backbone.dim, 12, num_blocks=1)
    made = psi
    if head == "trunk":
        made = LinearHead(NUM_TAPS * backbone.dim, 12, trunk=trunk_of(psi))
    segmenter = Segmenter(backbone, made, backbone_config=recipe.backbone, short_side=64)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    taps = segmenter.taps(pixels)
    expected = segmenter.logits(taps, (64, 64))
    real = torch.autocast
    monkeypatch.setattr(
        torch,
        "autocast",
        lambda kind, *args, **kwargs: real("cpu" if kind == "cuda" else kind, *args, **kwargs),
    )
    monkeypatch.setattr(Segmenter, "device", property(lambda _: torch.device("cuda")))
    with real("cpu", torch.bfloat16):
        assert not torch.equal(segmenter.head(taps).reshape(expected.shape), expected)
    assert torch.equal(segmenter.logits(taps, (64, 64)), expected)


def test_outputs_kept_by_gpus_are_kept_apart(recipe, monkeypatch, tmp_path):
    backbone = load_backbone(recipe.backbone)
    psi = AttentionPsi(NUM_TAPS * backbone.dim, 12, num_blocks=1)
    segmenter = Segmenter(backbone, psi, backbone_config=recipe.backbone, short_side=64)
    here = TapCache(segmenter, tmp_path).folder
    with monkeypatch.context() as patch:
        patch.setattr(Segmenter, "device", property(lambda _: torch.device("cuda")))
        assert TapCache(segmenter, tmp_path).folder != here
    assert TapCache(segmenter, tmp_path).folder == here


def test_an_open_store_reads_back_its_own_key(recipe, tmp_path, gpus):
    images = open_split(recipe.data, "train")
    ensure_store(recipe, images, tmp_path)
    assert precision_module.precision_of(FeatureStore(tmp_path).key) == "bfloat16"
