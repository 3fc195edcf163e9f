"""Names out of texts: a planted vocabulary finds the right ones, and a person's names stay."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from raynef.cli.commands import parse
from raynef.cli.name import Name
from raynef.config.recipe import Backbone
from raynef.core.errors import UserError
from raynef.features.backbone import load_backbone
from raynef.features.extract import extract_features
from raynef.jobs import text_names
from raynef.jobs.naming import name_clusters
from raynef.jobs.results import told_by_captions
from raynef.jobs.text_names import TextModel, name_by_text
from raynef.models.heads import from_centroids
from raynef.models.names import change_names
from raynef.models.segmenter import Segmenter
from tests.known import a
from tests.planted_clip import COLORS, WORDS, write_clip, write_photos

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("text") / "photos")


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tiny_weights) -> Path:
    """A segmenter whose cluster k is color k, and a fifth cluster that is nowhere."""
    config = Backbone(name="vit_tiny_patch16_224", weights=str(tiny_weights))
    backbone = load_backbone(config)
    flat = np.array(COLORS, dtype=np.uint8)[:, None, None].repeat(64, 1).repeat(64, 2)
    centers = extract_features(backbone, flat).taps[:, -1].mean(dim=1)
    nowhere = torch.full((1, centers.shape[1]), 100.0)
    head = from_centroids(torch.cat([centers, nowhere]))
    segmenter = Segmenter(backbone, head, backbone_config=config, short_side=64)
    return segmenter.save(tmp_path_factory.mktemp("segmenter"))


@pytest.fixture
def run(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "segmenter"))


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("classes") / "classes.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return path


def test_the_right_names_are_found(run, photos, classes, tmp_path):
    weights = (run / "model.safetensors").read_bytes()
    state = {k: v.clone() for k, v in Segmenter.load(run).head.state_dict().items()}
    for attention in ("values", "neighborhood"):
        name = write_clip(tmp_path / attention, attention=attention)
        model = TextModel(name, attention=attention)
        result = name_by_text(run, classes, model, images=str(photos))
        assert result["names"] == dict(zip("0123", WORDS, strict=True))  # and none for cluster 4
        assert result["text"]["num_images"] == 4
        assert result["text"]["written"] == [0, 1, 2, 3]
        assert min(p["margin"] for p in result["text"]["proposals"].values()) > 0.1
        assert result["text"]["note"] == "captions of images trained the text model"
        by_text = name_clusters(run, {})["by_text"]
        assert by_text == {"models": {str(model): [0, 1, 2, 3]}, "note": result["text"]["note"]}
    segmenter = Segmenter.load(run)
    assert (run / "model.safetensors").read_bytes() == weights
    assert all(torch.equal(v, state[k]) for k, v in segmenter.head.state_dict().items())
    found = segmenter(photos / "0.png")
    assert found.class_names == WORDS
    assert told_by_captions(segmenter) == {"captions": result["text"]["note"]}


def test_a_person_is_never_overwritten(run, photos, classes, tmp_path, monkeypatch):
    model = TextModel(write_clip(tmp_path / "clip"))
    name_clusters(run, {0: "shed", 2: "unsure"})

    def meanwhile(*_, **__):
        change_names(run, 5, {1: "lawn"})
        monkeypatch.setattr(text_names, "change_names", change_names)
        return change_names(*_, **__)

    monkeypatch.setattr(text_names, "change_names", meanwhile)
    result = name_by_text(run, classes, model, images=str(photos))
    assert result["names"] == {"0": "shed", "1": "lawn", "2": "unsure", "3": "sand"}
    assert result["text"]["written"] == [3]
    assert len(result["text"]["proposals"]) == 4
    name_clusters(run, {3: "sand"})  # a person agrees: from then on it is theirs
    again = name_by_text(run, classes, model, images=str(photos))
    assert (again["names"], again["text"]["written"]) == (result["names"], [])
    assert "by_text" not in again


def test_what_is_not_clearly_ahead_stays_unnamed(run, photos, classes, tmp_path):
    shares = np.eye(4).tolist()
    shares[3] = [0.5, 0.5, 0, 0]
    model = TextModel(write_clip(tmp_path / "clip", shares=shares))
    found = name_by_text(run, classes, model, images=str(photos))
    assert found["names"] == {"0": "barn", "1": "meadow", "2": "lake"}
    # A proposal that was made before is taken back where it would not be made again.
    strict = name_by_text(run, classes, model, images=str(photos), margin=1.0)
    assert strict["names"] == {}
    for wrong in (-0.1, 1.1):
        with pytest.raises(UserError, match=r"--text-margin must be in \[0, 1\]"):
            name_by_text(run, classes, model, margin=wrong)


def test_bad_photographs_are_skipped_by_name(run, photos, classes, tmp_path):
    own = Path(shutil.copytree(photos, tmp_path / "photos"))
    (own / "bad.png").write_bytes(b"no image")
    model = TextModel(write_clip(tmp_path / "clip"))
    result = name_by_text(run, classes, model, images=str(own))
    assert list(result["skipped"]) == ["bad.png"]
    assert (result["text"]["num_images"], len(result["names"])) == (4, 4)


def test_the_command(run, photos, classes, tmp_path):
    name = write_clip(tmp_path / "clip")
    words = f"name {run} --text {classes} --text-model {name} --images {photos} --text-margin 0.05"
    result = a(dict, a(Name, parse(words.split())).execute())
    assert result["names"] == dict(zip("0123", WORDS, strict=True))
    assert result["text"]["margin"] == 0.05
    for extra in (["3=sky"], ["--list"], ["--cut", "2"], ["--port", "8000"]):
        with pytest.raises(UserError, match="--text names clusters by itself"):
            parse([*words.split(), *extra]).execute()


def test_what_is_not_there_is_one_line(run, classes, photos, tmp_path):
    for name, weights, message in (
        ("ViT-B-33", "openai", "'ViT-B-33' is not a model of open_clip; similar: ViT-B-32"),
        ("ViT-B-32", None, "ViT-B-32 needs weights: a file, or one of openai, laion400m_e31"),
        ("ViT-B-32", "none.bin", "ViT-B-32 has no weights 'none.bin': a file, or one of openai"),
        ("ViT-B-32", "openai", "were trained with QuickGELU: use ViT-B-32-quickgelu"),
        ("local-dir:nowhere", None, "could not be fetched .*--text-weights FILE"),
    ):
        with pytest.raises(UserError, match=message):
            name_by_text(run, classes, TextModel(name, weights), images=str(photos))
    assert name_clusters(run, {})["names"] == {}
    own = tmp_path / "classes.txt"
    own.write_text('sky\nthe "sea"\n')
    with pytest.raises(UserError, match=r"classes\.txt: a name has at most 200 characters"):
        name_by_text(run, own, TextModel("ViT-B-32", "laion2b_e16"), images=str(photos))
