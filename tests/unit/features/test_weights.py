"""Weights from files: strict, tensors only, and what is wrong is said."""

import io
import os
import pickle
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from raynef.config.recipe import BUNDLED_BACKBONE, Backbone
from raynef.core.errors import UserError
from raynef.features.backbone import create_model, load_backbone
from raynef.features.weights import (
    bundled_file,
    load_weights,
    read_state,
    resolve_weights,
    weights_identity,
)
from tests.known import a

pytestmark = pytest.mark.usefixtures("one_thread")
NAME = "vit_tiny_patch16_224"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random weights of a ViT-Ti with its classifier."""
    return timm.create_model(NAME).state_dict()


@pytest.fixture
def model():
    return create_model(NAME)


def save(state: object, path: Path, **options) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(a(dict, state), path)
    else:
        torch.save(state, path, **options)
    return path


def assert_loaded(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Every tensor of the model is that of the state, and it has no other."""
    found = model.state_dict()
    assert set(found) == {name for name in state if not name.startswith("head.")}
    for name, tensor in found.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, state[name].float()), name


@pytest.mark.parametrize("file", ["w.safetensors", "w.pt", "w.pth", "w.bin"])
@pytest.mark.parametrize("half", [False, True])
def test_files_load_strictly_without_the_classifier(model, state, tmp_path, file, half):
    state = {name: tensor.half() if half else tensor for name, tensor in state.items()}
    assert "head.weight" in state
    load_weights(model, save(state, tmp_path / file))
    assert_loaded(model, state)


@pytest.mark.parametrize("key", ["state_dict", "model", "teacher", "state_dict_ema"])
def test_checkpoints_that_nest_their_weights(model, state, tmp_path, key):
    load_weights(model, save({key: state, "epoch": 3}, tmp_path / "w.pt"))
    assert_loaded(model, state)


def test_the_legacy_format_of_torch(model, state, tmp_path):
    path = save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    load_weights(model, path)
    assert_loaded(model, state)


def test_position_embeddings_of_another_grid_are_resampled(model, tmp_path):
    state = timm.create_model("vit_tiny_patch16_384").state_dict()
    load_weights(model, save(state, tmp_path / "w.safetensors"))
    assert model.pos_embed.shape == (1, 1 + 14 * 14, 192)
    assert torch.equal(model.blocks[3].mlp.fc1.weight, state["blocks.3.mlp.fc1.weight"])


def without(state, name):
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: without(s, "blocks.3.norm1.bias"), "blocks.3.norm1.bias is missing"),
        (lambda s: {**s, "extra.weight": torch.ones(2)}, "extra.weight is unknown to the model"),
        (
            lambda s: {**s, "norm.weight": torch.ones(7)},
            r"norm.weight is \[7\] in the file, \[192\] in the model",
        ),
        (lambda s: {**s, "patch_embed.proj.weight": torch.ones(5)}, "do not fit"),
        (lambda s: {**s, "pos_embed": torch.ones(3)}, "do not fit"),
        (lambda s: {}, "do not fit"),
        (lambda s: timm.create_model("vit_small_patch16_224").state_dict(), "do not fit"),
        (lambda s: timm.create_model("resnet18").state_dict(), "do not fit"),
    ],
)
def test_weights_that_do_not_fit_are_refused(model, state, tmp_path, change, named):
    path = save(change(state), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=named) as caught:
        load_weights(model, path)
    assert str(caught.value).startswith(f"weights {path} do not fit the backbone: ")
    assert "\n" not in str(caught.value)


def test_weights_of_another_size_are_one_line(tmp_path):
    """With how many more differ: a ViT-S has the tensors of a ViT-Ti, nearly all of them larger."""
    state = timm.create_model("vit_small_patch16_224").state_dict()
    path = save(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError) as caught:
        load_backbone(Backbone(name=NAME, weights=str(path)))
    expected = (
        f"weights {path} do not fit {NAME}: cls_token is [1, 1, 384] in the file, [1, 1, 192] in "
        "the model (149 more of another size)"
    )
    assert str(caught.value) == expected


def test_a_resnet_of_an_old_torch_has_no_counters(tmp_path):
    state = timm.create_model("resnet18", num_classes=0).state_dict()
    kept = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    load_weights(create_model("resnet18"), save(kept, tmp_path / "w.safetensors"))
    cut = without(kept, "layer4.1.bn2.bias")
    with pytest.raises(UserError, match=r"backbone: layer4.1.bn2.bias is missing$"):
        load_weights(create_model("resnet18"), save(cut, tmp_path / "cut.safetensors"))


def test_a_plain_vit_does_not_fit_the_bundled_model(state, tmp_path):
    path = save(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"w.safetensors do not fit"):
        load_backbone(Backbone(name=BUNDLED_BACKBONE, weights=str(path)))


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pkl", ".safetensors"])
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("within", ["alone", "among tensors"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, suffix, form, within):
    proof, path = tmp_path / "executed", tmp_path / f"w{suffix}"
    payload = Payload(proof)
    content = payload if within == "alone" else {"a": torch.ones(2), "b": payload}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
        pickle.loads(path.read_bytes())  # the payload works
    else:
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=form == "zip")
        path.write_bytes(buffer.getvalue())
        torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert proof.is_dir()
    proof.rmdir()
    with pytest.raises(UserError, match="cannot be read as tensors only"):
        read_state(path)
    assert not proof.exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"garbage", bytes(range(256)) * 4, b"\x80\x02."])
def test_unreadable_files(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"weights .*w\{suffix} cannot be read"):
        read_state(path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_cut_and_changed_files_are_refused_or_read(tmp_path, suffix):
    """Any damage ends in tensors or in UserError, nothing else."""
    path = save({"a": torch.ones(3), "b": torch.zeros(2)}, tmp_path / f"w{suffix}")
    encoded, refused = path.read_bytes(), 0
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        damaged = bytearray(encoded)
        places = torch.randint(0, len(damaged), (4,), generator=generator).tolist()
        values = torch.randint(0, 256, (4,), generator=generator).tolist()
        for place, value in zip(places, values, strict=True):
            damaged[place] = value
        path.write_bytes(damaged[: places[0]] if places[1] % 3 == 0 else damaged)
        try:
            assert all(isinstance(value, torch.Tensor) for value in read_state(path).values())
        except UserError:
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("content", [[torch.ones(2)], torch.ones(2), {"a": torch.ones(2), "b": 3}])
def test_what_holds_no_dictionary_of_tensors(tmp_path, content):
    with pytest.raises(UserError, match="hold no dictionary of tensors"):
        read_state(save(content, tmp_path / "w.pt"))


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        (NAME, "none.safetensors", "'none.safetensors' is neither a file nor 'hub' nor 'bundled'"),
        (NAME, ".", r"'\.' is neither a file"),
        (NAME, "bundled", f"holds {BUNDLED_BACKBONE} only, not {NAME}"),
        (BUNDLED_BACKBONE, "hub", f"{BUNDLED_BACKBONE} is bundled, not on the hub"),
    ],
)
def test_weights_that_are_nowhere(name, weights, message):
    with pytest.raises(UserError, match=message):
        resolve_weights(Backbone(name=name, weights=weights))


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [
        (NAME, None, None),
        (NAME, "hub", None),
        (BUNDLED_BACKBONE, None, bundled_file()),
        (BUNDLED_BACKBONE, "bundled", bundled_file()),
    ],
)
def test_where_weights_come_from_by_default(name, weights, expected):
    assert resolve_weights(Backbone(name=name, weights=weights)) == expected


def test_a_path_is_seen_from_any_folder(tmp_path, monkeypatch):
    save({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    monkeypatch.chdir(tmp_path)
    found = resolve_weights(Backbone(name=NAME, weights="w.safetensors"))
    assert found == tmp_path / "w.safetensors"


def test_the_identity_is_that_of_the_content(tmp_path):
    one = save({"a": torch.ones(3)}, tmp_path / "one.safetensors")
    two = save({"a": torch.zeros(3)}, tmp_path / "two.safetensors")
    shutil.copy(one, tmp_path / "copy.safetensors")
    first, second, copy = (
        weights_identity(Backbone(name=NAME, weights=str(path)))
        for path in (one, two, tmp_path / "copy.safetensors")
    )
    assert first == copy
    assert first != second
    assert weights_identity(Backbone(name=NAME)) == "hub"


@pytest.mark.parametrize(
    ("folder", "name", "mean"),
    [
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", NAME, 0.5),
        ("deit_tiny_patch16_224.fb_in1k", "deit_tiny_patch16_224", 0.485),
    ],
)
def test_real_weights_load_strictly(shared_dir, folder, name, mean):
    path = shared_dir / "weights" / folder / "model.safetensors"
    backbone = load_backbone(Backbone(name=name, weights=str(path)))
    assert backbone.mean[0] == mean
    plain = a(VisionTransformer, timm.create_model(name)).eval()
    plain.load_state_dict({k: v.float() for k, v in safetensors.torch.load_file(path).items()})
    images = torch.randn((2, 3, 224, 224), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = plain.forward_features(images)[:, 1:]
    torch.testing.assert_close(backbone(images)[:, -1], expected, rtol=1e-4, atol=1e-4)
