"""MaskCLIP end to end: a planted vocabulary, a folder like any run's, and what says captions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch.nn import functional

from raynef.cli.commands import parse
from raynef.config.recipe import Backbone, Data, Evaluate, Recipe
from raynef.core.errors import UserError
from raynef.features.text import TextClasses
from raynef.images.datasets.folder import open_folder
from raynef.jobs.evaluate import evaluate
from raynef.jobs.export import description
from raynef.jobs.maskclip import maskclip, text_head
from raynef.jobs.predict import predict
from raynef.jobs.report import write_report
from raynef.models.exported import exported_program
from raynef.models.segmenter import Segmenter
from raynef.sweeps.compare import compare
from raynef.web.answers import Meaning
from tests.known import present
from tests.planted_clip import SIDE, WORDS, open_clip, write_clip, write_photos
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("without_ray")

CAPTIONS = "captions of images trained the text model"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Images with labels, of which the last quarter is void."""
    root = tmp_path_factory.mktemp("maskclip") / "data"
    write_photos(root / "images")
    (root / "labels").mkdir()
    for number in range(4):
        order = np.roll(np.arange(4, dtype=np.uint8), number).reshape(2, 2)
        label = order.repeat(SIDE // 2, 0).repeat(SIDE // 2, 1)
        Image.fromarray(label).save(root / "labels" / f"{number}.png")
    (root / "classes.txt").write_text("\n".join(WORDS) + "\n")
    for split in ("train", "val"):
        (root / f"{split}.txt").write_text("0\n1\n2\n3\n")
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder)
    return folder


@pytest.fixture(scope="module")
def recipe(photos, model) -> Recipe:
    return Recipe(
        data=Data(root=str(photos)),
        backbone=Backbone(name=f"open_clip/local-dir:{model}", precision="float32"),
        evaluate=Evaluate(short_side=336, crop=336),
    )


def test_it_classifies_without_labels(recipe, photos, tmp_path):
    out = tmp_path / "run"
    hidden = Path(shutil.copytree(photos, tmp_path / "data"))
    for label in (hidden / "labels").iterdir():
        label.write_bytes(b"no label")  # none is opened but to score
    made = change(recipe, data={"root": str(hidden)})
    result = maskclip(made, out)
    assert (result["captions"], result["num_clusters"]) == (CAPTIONS, 4)
    assert (result["supervised"], result["labels_leaked"]) == (False, False)
    assert maskclip(made, out) == result
    shutil.copytree(photos, hidden, dirs_exist_ok=True)
    scored = evaluate(out)
    assert min(scored["miou"], scored["accuracy"]) > 0.9
    assert scored["captions"] == CAPTIONS
    assert scored["matching"] == f"none: the head is texts of these classes; {CAPTIONS}"
    assert scored["supervised"] is False
    renamed = (hidden / "classes.txt").read_text().replace("lake", "sea")
    (hidden / "classes.txt").write_text(renamed)
    with pytest.raises(UserError, match="is of the classes barn, meadow, lake, sand, but"):
        evaluate(out)


def test_its_folder_does_what_any_runs_does(recipe, photos, tmp_path):
    out = tmp_path / "run"
    maskclip(recipe, out)
    segmenter = Segmenter.load(out)
    assert (segmenter.captions, segmenter.tree) == (True, None)
    found = segmenter(photos / "images" / "0.png")
    assert found.class_names == WORDS
    copy = Segmenter.load(segmenter.save(tmp_path / "copy"))
    again = copy(photos / "images" / "0.png")
    np.testing.assert_array_equal(again.clusters, found.clusters)
    assert copy.captions
    predict(out, photos / "images" / "0.png", tmp_path / "predicted")
    classes = np.asarray(Image.open(tmp_path / "predicted" / "classes" / "0.png"))
    np.testing.assert_array_equal(classes, present(found.classes))
    assert json.loads((tmp_path / "predicted" / "legend.json").read_text())["captions"] == CAPTIONS
    assert description(segmenter)["captions"] == CAPTIONS
    assert Meaning.of(segmenter).legend()["captions"] == CAPTIONS
    evaluate(out)
    write_report(out)
    page = (out / "report.html").read_text()
    assert f"The classes are texts: {CAPTIONS}" in page


def test_its_export_takes_any_number_and_size(recipe, tmp_path):
    maskclip(change(recipe, evaluate={"short_side": 64, "crop": 64}), tmp_path)
    segmenter = Segmenter.load(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 90, 3), dtype=np.uint8)
    _, clusters = exported_program(segmenter).module()(torch.from_numpy(images))
    np.testing.assert_array_equal(clusters, segmenter.clusters(images))


def test_a_file_of_weights_goes_along(recipe, photos, model, tmp_path, monkeypatch):
    """A named model with weights of a file: the folder opens where the file is gone."""
    config = open_clip.get_model_config(f"local-dir:{model}")
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", config)
    monkeypatch.setattr("open_clip.list_models", lambda: ["tiny"])
    weights = Path(shutil.copy(model / "open_clip_model.safetensors", tmp_path / "w.safetensors"))
    named = change(recipe, backbone={"name": "open_clip/tiny", "weights": str(weights)})
    maskclip(named, tmp_path / "run")
    maskclip(recipe, tmp_path / "folders")
    weights.unlink()
    image = photos / "images" / "0.png"
    found, other = (Segmenter.load(tmp_path / name)(image) for name in ("run", "folders"))
    np.testing.assert_array_equal(found.clusters, other.clusters)
    both = change(recipe, backbone={"weights": str(model / "open_clip_model.safetensors")})
    with pytest.raises(UserError, match="has weights of its own: leave out"):
        maskclip(both, tmp_path / "both")


def test_logits_are_scaled_cosines_of_the_last_tap():
    texts = TextClasses(functional.normalize(torch.randn(4, 8), dim=-1), scale=14.0)
    taps = torch.randn(2, 3, 6, 8)
    cosines = functional.cosine_similarity(taps[:, -1, :, None], texts.embeddings, dim=-1)
    assert torch.allclose(text_head(texts)(taps), 14 * cosines, atol=1e-5)


def test_what_it_cannot_do_is_one_line(recipe, photos, tmp_path):
    other = change(recipe, backbone={"name": "vit_tiny_patch16_224"})
    with pytest.raises(UserError, match="which vit_tiny_patch16_224 does not know: lay the preset"):
        maskclip(other, tmp_path / "run")
    nameless = Path(shutil.copytree(photos, tmp_path / "data"))
    (nameless / "classes.txt").unlink()
    assert open_folder(str(nameless), None).class_names == ()
    with pytest.raises(UserError, match=r"names of classes of .*two or more"):
        maskclip(change(recipe, data={"root": str(nameless)}), tmp_path / "run")
    assert not (tmp_path / "run" / "train.json").exists()


def test_the_command(recipe, photos, model, tmp_path):
    flags = ["--data.root", str(photos), "--evaluate.short-side", "112", "--evaluate.crop", "112"]
    backbone = ["--backbone.name", recipe.backbone.name, "--backbone.tap", "neighborhood"]
    out = tmp_path / "run"
    command = ["baseline", "maskclip", "--recipe", "folder", *flags, *backbone, "--out", str(out)]
    result = parse(command).execute()
    assert isinstance(result, dict)
    assert result["kind"] == "maskclip"
    assert Segmenter.load(out).backbone.model.attention == "neighborhood"


def test_a_comparison_marks_it(photos, recipe, tmp_path):
    fields = {
        "data.root": str(photos),
        "backbone.name": recipe.backbone.name,
        "evaluate.short_side": 336,
        "evaluate.crop": 336,
    }
    asked = {"columns": ["maskclip"], "rows": [{"name": "colors", "set": fields}]}
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(asked))
    made = compare(tmp_path / "table.yaml", tmp_path / "out")
    (score,) = made["rows"][0]["cells"]["maskclip"]
    assert score["miou"] > 0.9
    assert len(Path(score["run"]).parts) == 4  # runs, one folder of the row, method and seed
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| MaskCLIP, captions |" in table
    assert "Captions of images trained MaskCLIP: it is not without any supervision." in table
