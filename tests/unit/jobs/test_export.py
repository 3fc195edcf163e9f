"""Segmenters as files: whatever the head, the same clusters at any size; and without torch."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import UserError
from raynef.eigen.conv_psi import ConvPsi
from raynef.eigen.psi import AttentionPsi
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.graph.knn import unit_rows
from raynef.jobs import export as export_module
from raynef.jobs.export import METADATA, export
from raynef.models.exported import exported_program
from raynef.models.extension import Extension
from raynef.models.heads import LinearHead, trunk_of
from raynef.models.segmenter import Mapping, Segmenter
from tests.places import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")
DIM, K = 192, 12  # of the bundled backbone
MAPPING = Mapping((1, 0, -1, 1, 0, 1, -1, 0, 0, 1, 1, 0), ("sky", "Straße"))


def head(kind):
    torch.manual_seed(3)
    if kind == "attention":
        return AttentionPsi(NUM_TAPS * DIM, K, num_blocks=1)
    if kind == "convolution":
        trunk = trunk_of(ConvPsi(NUM_TAPS * DIM, K, num_taps=NUM_TAPS, num_blocks=1))
        return LinearHead(DIM, K, trunk=trunk)
    if kind == "context":
        return LinearHead(2 * DIM, K, context=0.5)
    if kind == "extension":
        landmarks, values = unit_rows(torch.randn(500, DIM)), unit_rows(torch.randn(500, K))
        return LinearHead(K, K, trunk=Extension(landmarks, values, num_neighbors=8))
    return LinearHead(DIM, K)


def segmenter(kind="convolution", **options):
    config = BackboneConfig(**options)
    found = Segmenter(
        load_backbone(config), head(kind), backbone_config=config, short_side=64, mapping=MAPPING
    )
    return found


def photo(*size, seed=0):
    draws = np.random.default_rng(seed)
    coarse = draws.integers(0, 256, (size[0] // 12, size[1] // 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["attention", "convolution", "context", "extension"])
def test_any_head_gives_the_same_clusters_at_any_size(kind):
    found = segmenter(kind, precision="float32")  # that of an export
    run = exported_program(found).module()
    for size in ((64, 64), (64, 97), (112, 64), (224, 224)):
        images = np.stack([photo(*size), photo(*size, seed=1)][: 1 + size[0] % 3])
        logits, clusters = run(torch.from_numpy(images))
        expected = found.clusters(images)
        assert len(np.unique(expected)) > 1
        assert (clusters.numpy() == expected).mean() > 0.999
        torch.testing.assert_close(logits, found.patch_logits(images), rtol=1e-3, atol=1e-3)


def test_squares_for_a_backbone_of_one_size():
    found = segmenter("plain", input_size=96)
    run = exported_program(found).module()
    for side in (64, 96, 130):
        images = photo(side, side)[None]
        clusters = run(torch.from_numpy(images.copy()))[1].numpy()
        assert (clusters == found.clusters(images)).mean() > 0.99


@pytest.fixture(scope="module")
def saved(one_thread, tmp_path_factory):
    """Whose backbone computes in bfloat16, on any processor; the file does not."""
    return segmenter(precision="bfloat16").save(tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(scope="module")
def model(saved, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "deep" / "segmenter.onnx"
    return path, export(saved, path)


def test_an_onnx_file_says_what_it_is(model):
    path, result = model
    assert (result["format"], result["num_bytes"]) == ("onnx", path.stat().st_size)
    assert [entry["size"] for entry in result["compared"]] == [[64, 64], [64, 85], [88, 64]]
    assert all(entry["equal"] >= export_module.LEAST_EQUAL for entry in result["compared"])
    session = onnxruntime.InferenceSession(str(path))
    assert [entry.name for entry in session.get_inputs()] == ["images"]
    assert [entry.name for entry in session.get_outputs()] == ["logits", "clusters"]
    about = json.loads(session.get_modelmeta().custom_metadata_map[METADATA])
    assert (about["short_side"], about["num_clusters"], about["square"]) == (64, K, False)
    assert (tuple(about["classes"]), about["class_names"]) == (MAPPING.classes, ["sky", "Straße"])
    assert list(path.parent.iterdir()) == [path]  # one file


def test_the_example_needs_no_torch(model, saved, tmp_path):
    picture, out = tmp_path / "photo.png", tmp_path / "map.png"
    Image.fromarray(photo(128, 192)).save(picture)
    code = (
        "import sys, runpy; sys.argv[1:] = sys.argv[1:]\n"
        "sys.modules['torch'] = sys.modules['raynef'] = None  # an import would fail\n"
        f"runpy.run_path({str(ROOT / 'docs' / 'onnx_example.py')!r})"
    )
    command = [sys.executable, "-c", code, str(model[0]), str(picture), str(out)]
    subprocess.run(command, check=True)
    expected = Segmenter.load(saved)(picture).clusters
    assert (np.asarray(Image.open(out)) == expected).mean() > 0.95  # it repeats pixels of half size


@pytest.mark.slow
def test_torchs_file_is_read_by_torch(saved, tmp_path):
    result = export(saved, tmp_path / "segmenter.pt2", format="torch")
    assert len(result["compared"]) == 3
    extra = {METADATA: ""}
    torch.export.load(tmp_path / "segmenter.pt2", extra_files=extra)
    assert json.loads(extra[METADATA])["class_names"] == ["sky", "Straße"]


def test_a_file_that_says_otherwise_is_not_left_behind(saved, tmp_path, monkeypatch):
    def other(path):
        assert path.read_bytes() == b"a program"
        return lambda images: np.full(images.shape[:3], -1, dtype=np.int32)

    monkeypatch.setattr(export_module, "exported_program", lambda _: b"a program")
    monkeypatch.setattr(export_module, "_write_torch", lambda made, _, path: path.write_bytes(made))
    monkeypatch.setattr(export_module, "torch_runner", other)
    with pytest.raises(RuntimeError, match=r"0.00 % of the pixels are equal at 64×64"):
        export(saved, tmp_path / "segmenter.pt2", format="torch")
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_said(saved, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="is a folder; --out is a file"):
        export(saved, tmp_path)
    with pytest.raises(UserError, match="holds no segmenter"):
        export(tmp_path, tmp_path / "x.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"needs onnxscript: pip install 'raynef\[onnx\]'"):
        export(saved, tmp_path / "x.onnx")


def test_a_backbone_that_cannot_be_traced_is_named(saved, tmp_path, monkeypatch):
    def fail(_):
        raise ValueError("data-dependent control flow\nand more")

    monkeypatch.setattr(export_module, "exported_program", fail)
    with pytest.raises(UserError, match=r"cannot export raynef_vit_.*: data-dependent control fl"):
        export(saved, tmp_path / "x.pt2", format="torch")
