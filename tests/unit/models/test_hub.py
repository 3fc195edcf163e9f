"""Segmenters on a hub: through the hub's own client, to a server on loopback."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import UserError
from raynef.eigen.psi import AttentionPsi
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.features.weights import bundled_file
from raynef.models.card import model_card
from raynef.models.names import Names
from raynef.models.origin import Evaluated, Origin
from raynef.models.segmenter import Mapping, Segmenter
from tests.hub_server import TOKEN, Hub, hub_server

pytestmark = pytest.mark.usefixtures("one_thread")
ORIGIN = Origin(
    method="clusterings, head kmeans",
    data="folder",
    num_images=67,
    made="2026-11-29T06:00:00+0000",
    versions={"python": "3.11.7", "raynef": "0.1.0", "torch": "2.14.1"},
    git_commit="0123abcd",
    evaluated=Evaluated(0.5432, 0.8, 148, "val", "reco: short side 320", "majority by IoU"),
)


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(BackboneConfig())


@pytest.fixture
def segmenter(backbone) -> Segmenter:
    return make(backbone)


def make(backbone, config=None, **options) -> Segmenter:
    psi = AttentionPsi(NUM_TAPS * backbone.dim, 4, num_blocks=1, seed=0)
    config, options = config or BackboneConfig(), {"origin": ORIGIN, **options}
    return Segmenter(backbone, psi, backbone_config=config, short_side=48, **options)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub, for the client in this process."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with hub_server() as server:
        at(server.address, monkeypatch, tmp_path)
        yield server


def at(address: str, monkeypatch, tmp_path: Path) -> None:
    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.ENDPOINT", address)
    monkeypatch.setattr(
        f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(f"{constants}.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(f"{constants}.HF_TOKEN_PATH", str(tmp_path / "no token"))


def picture() -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.kron(small, np.ones((16, 16, 1), dtype=np.uint8))


def test_there_and_back(segmenter, hub: Hub):
    assert segmenter.push_to_hub("me/photos", token=TOKEN) == f"{hub.address}/me/photos"
    assert set(hub.files("me/photos")) == {
        "README.md",
        "config.json",
        "model.safetensors",
        "origin.json",
    }
    again = Segmenter.from_pretrained("me/photos")
    np.testing.assert_array_equal(again(picture()).clusters, segmenter(picture()).clusters)
    assert again.origin == ORIGIN
    assert not any("README" in line for line in hub.asked if "resolve" in line and "GET" in line)


def test_revisions_and_a_card_that_somebody_edited(segmenter, hub: Hub):
    segmenter.push_to_hub("photos", token=TOKEN)  # one's own
    first = f"{len(hub.commits['me/photos']):040x}"
    hub.commits["me/photos"][-1]["README.md"] = b"mine"
    segmenter.names = Names({0: "sky"})
    segmenter.push_to_hub("me/photos", token=TOKEN)
    assert hub.files("me/photos")["README.md"] == b"mine"
    assert Segmenter.from_pretrained("me/photos").names.names == {0: "sky"}
    assert Segmenter.from_pretrained("me/photos", revision=first).names == Names()
    with pytest.raises(UserError, match=r"me/photos has no revision 'v9'"):
        Segmenter.from_pretrained("me/photos", revision="v9")
    segmenter.push_to_hub("me/photos", token=TOKEN, replace_card=True, license="mit")
    assert b"license: mit" in hub.files("me/photos")["README.md"]


def test_a_private_repository_needs_the_token(segmenter, hub: Hub):
    segmenter.push_to_hub("me/secret", private=True, token=TOKEN)
    assert Segmenter.from_pretrained("me/secret", token=TOKEN).num_clusters == 4
    with pytest.raises(UserError, match=r"no repository me/other on .*hf auth login"):
        Segmenter.from_pretrained("me/other")


def test_mistakes_are_one_line(segmenter, hub: Hub):
    with pytest.raises(UserError, match=r"no repository me/nothing") as caught:
        Segmenter.from_pretrained("me/nothing")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"neither a folder nor OWNER/NAME"):
        Segmenter.from_pretrained("runs/photos/segmenter")
    with pytest.raises(UserError, match=r"knows no token of yours; log in"):
        segmenter.push_to_hub("me/photos")
    with pytest.raises(UserError, match=r"your token may not do that"):
        segmenter.push_to_hub("you/photos", token=TOKEN)
    with pytest.raises(UserError, match=r"not pushed: Invalid metadata.*\"license\" must be"):
        segmenter.push_to_hub("me/photos", token=TOKEN, license="none-such")
    hub.commits["me/other"] = [{"config.json": b"{}", "x.json": b"{}"}]
    with pytest.raises(UserError, match=r"me/other on the hub holds no segmenter of raynef"):
        Segmenter.from_pretrained("me/other")


def test_without_a_hub_what_was_fetched_stays(segmenter, monkeypatch, tmp_path):
    with hub_server() as server:
        at(server.address, monkeypatch, tmp_path)
        segmenter.push_to_hub("me/photos", token=TOKEN)
        Segmenter.from_pretrained("me/photos")
    at("http://127.0.0.1:9", monkeypatch, tmp_path)  # where nobody listens
    assert Segmenter.from_pretrained("me/photos").num_clusters == 4  # of the cache
    with pytest.raises(UserError, match=r"me/else was not fetched, is .* within reach\?"):
        Segmenter.from_pretrained("me/else")
    with pytest.raises(UserError, match=r"me/photos was not pushed, is .* within reach\?"):
        segmenter.push_to_hub("me/photos", token=TOKEN)


def test_a_folder_goes_first(segmenter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    segmenter.save(Path("me/photos/segmenter"))
    assert Segmenter.from_pretrained("me/photos").num_clusters == 4
    with pytest.raises(UserError, match="is a folder here, and has no revision"):
        Segmenter.from_pretrained("me/photos", revision="main")


def test_the_card(segmenter):
    text = model_card(segmenter, "me/photos", license="apache-2.0")
    _, matter, body = text.split("---\n", 2)
    assert yaml.safe_load(matter) == {
        "library_name": "raynef",
        "pipeline_tag": "image-segmentation",
        "license": "apache-2.0",
        "tags": ["raynef", "unsupervised", "semantic-segmentation"],
    }
    for said in (
        "4 clusters",
        "none trained it",
        "a folder of images, 67 images",
        "the weights come with raynef",
        "its clusters have no names",
        'from_pretrained("me/photos")',
        "| 54.3 | 80.0 | 148 | val |",
        "Protocol: reco: short side 320. Matching of clusters to classes: majority by IoU.",
        "raynef 0.1.0",
        "0123abcd",
    ):
        assert said in body
    assert "license" not in model_card(segmenter, "me/photos").split("---\n")[1]


def test_the_card_says_what_labels_did(backbone):
    probe = make(backbone, supervised=True, mapping=Mapping((0, 1, 2, 3), ("a", "b", "c", "d")))
    leaked = make(backbone, labels_leaked=True, origin=None)
    for found, said in ((probe, "**trained on labels**"), (leaked, "**trained on labels too**")):
        assert said in model_card(found, "me/x")
        assert "- unsupervised" not in model_card(found, "me/x")
    assert "named by its training labels: `a`, `b`" in model_card(probe, "me/x")
    assert "**Training data**: not recorded." in model_card(leaked, "me/x")
    assert "## Scores" not in model_card(leaked, "me/x")
    named = make(backbone, names=Names({0: "so`fa", 1: "noise"}))
    assert "named by a person: `sofa`." in model_card(named, "me/x")


def test_the_card_says_that_captions_told_names(backbone):
    by_text = Names({0: "cow", 1: "sky"}, sources={1: "open_clip/ViT-B-16"})
    card = model_card(make(backbone, names=by_text), "me/texts")
    assert "captions of images trained the text model" in card
    assert "named by a person and a text model: `cow`, `sky`" in card
    assert "captions" not in model_card(make(backbone, names=Names({0: "cow"})), "me/people")


def test_no_local_path_goes_along(backbone, tmp_path, hub: Hub):
    weights = Path(shutil.copy(bundled_file(), tmp_path / "private.safetensors"))
    mine = make(backbone, dataclasses.replace(BackboneConfig(), weights=str(weights)))
    mine.push_to_hub("me/mine", token=TOKEN)
    files = hub.files("me/mine")
    assert "backbone.safetensors" in files
    assert "under its own license" in files["README.md"].decode()
    for name, data in files.items():
        assert str(tmp_path).encode() not in data, name
    assert json.loads(files["config.json"])["backbone"]["weights"] == "backbone.safetensors"
