"""Classes as texts: files of them, prompts, embeddings, and models that are not there."""

import sys

import pytest
import torch

from raynef.core.errors import UserError
from raynef.features.clip import ClipName
from raynef.features.text import TEMPLATES, TextClass, embed_classes, prompts_of, read_classes
from tests.planted_clip import WORDS, open_clip, write_clip


def test_a_file_of_classes(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("\ufeffcow, cattle , calf\n\n traffic_sign\r\nsky,\n")
    assert read_classes(path) == (
        TextClass("cow", ("cow", "cattle", "calf")),
        TextClass("traffic_sign", ("traffic sign",)),
        TextClass("sky", ("sky",)),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"sky\ncow\nsky\n", "class 'sky' is there twice"),
        (b"sky\n", r"1 class\(es\); what is in a picture is told by comparing two or more"),
        (b"\n , \n", r"0 class\(es\)"),
        (b"stra\xdfe\n", "cannot be read"),
        (None, "cannot be read: .*No such file"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, content, message):
    path = tmp_path / "classes.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_classes(path)


def test_a_class_is_the_mean_over_its_words_and_templates(tmp_path):
    name = write_clip(tmp_path)
    which = ClipName(name, None)
    barn = TextClass("barn", ("barn", "shed"))
    assert len(prompts_of(barn)) == 2 * len(TEMPLATES)
    assert "a photo of a shed." in prompts_of(barn)
    found = embed_classes(which, [barn, TextClass.of("lake")])
    model = open_clip.create_model(name).eval()
    tokenize = open_clip.get_tokenizer(name)
    mean = torch.zeros(32)
    with torch.no_grad():
        for word in barn.words:
            for template in TEMPLATES:
                row = model.encode_text(tokenize([template.format(word)]))[0]
                mean += row / row.norm()
    assert torch.allclose(found.embeddings[0], mean / mean.norm(), atol=1e-5)
    assert found.scale == pytest.approx(model.logit_scale.exp().item())
    assert torch.allclose(found.embeddings.norm(dim=1), torch.ones(2))


def test_weights_in_a_file_are_those_of_the_folder(tmp_path, monkeypatch):
    """A model by its name, with weights of a file in place of a tag."""
    name = write_clip(tmp_path)
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", {})
    config = open_clip.get_model_config(name)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", config)
    file = tmp_path / "open_clip_model.safetensors"
    monkeypatch.setattr("open_clip.list_models", lambda: ["tiny"])
    words = [TextClass.of(word) for word in WORDS]
    expected = embed_classes(ClipName(name, None), words)
    pickled = tmp_path / "weights.bin"
    torch.save(open_clip.create_model(name).state_dict(), pickled)
    for path in (file, pickled):
        found = embed_classes(ClipName("tiny", str(path)), words)
        assert torch.equal(found.embeddings, expected.embeddings)
    bad = tmp_path / "bad.bin"
    bad.write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"weights .*bad\.bin do not fit tiny"):
        embed_classes(ClipName("tiny", str(bad)), words)


def test_names_of_backbones():
    of = ClipName.of_backbone
    assert of("open_clip/ViT-B-16-quickgelu.openai") == ClipName("ViT-B-16-quickgelu", "openai")
    assert of("open_clip/ViT-B-16") == ClipName("ViT-B-16", None)
    assert of("open_clip/hf-hub:org/name.v2") == ClipName("hf-hub:org/name.v2", None)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UserError, match=r"pip install 'raynef\[text\]'"):
        embed_classes(ClipName("ViT-B-32", "openai"), [TextClass.of("sky"), TextClass.of("cow")])
