"""Weights as their authors published them, and as training scripts save them, from random models.

What each release looks like is written out here as a rewriting of timm's own tensors.
"""

import argparse
import re

import pytest
import safetensors.torch
import timm
import torch

from raynef.core.errors import UserError
from raynef.features.weights import load_weights
from tests.unit.features.families import ISOTROPIC, PYRAMIDS, THIN, Member, create

pytestmark = pytest.mark.usefixtures("one_thread")
NARROW = {"depth": 2, "embed_dim": 64, "num_heads": 2}
TEXT = {"text_projection": torch.ones(4, 4), "logit_scale": torch.ones(())}


def random_state(name, **options):
    """Timm's own tensors, classifier and all."""
    member = Member(name, 0, 0, options=options)
    return dict(create(member, num_classes=10).state_dict())


def renamed(state, *rules):
    """Names with regular expressions replaced."""
    found = {}
    for name, tensor in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        found[name] = tensor
    return found


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def without(state, *prefixes):
    return {name: tensor for name, tensor in state.items() if not name.startswith(prefixes)}


def assert_loads(name, release, expected, path, **options):
    """A release, as a file, becomes timm's own tensors without the classifier."""
    torch.save(release, path)
    model = timm.create_model(name, num_classes=0, **options)
    load_weights(model, path)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected[key]), key


@pytest.mark.parametrize("member", [*ISOTROPIC, *PYRAMIDS], ids=str)
def test_timms_own_names(member, tmp_path):
    model = create(member)
    state = dict(create(member, num_classes=10).state_dict())
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({name: t.contiguous() for name, t in state.items()}, path)
    load_weights(model, path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: prefixed(s, "module."),
        lambda s: {"teacher": {**prefixed(s, "backbone."), "head.mlp.0.weight": torch.ones(2)}},
        lambda s: {"teacher": {**prefixed(s, "module.backbone."), "module.head.x": torch.ones(2)}},
        lambda s: {
            "student": prefixed(s, "module.backbone."),
            "teacher": {**prefixed(s, "backbone."), "head.last_layer.weight_g": torch.ones(2)},
            "epoch": 100,
            "args": argparse.Namespace(arch="vit_small", patch_size=16, lr=5e-4),
        },
    ],
    ids=["backbone", "parallel", "teacher", "parallel teacher", "checkpoint"],
)
def test_dino(wrap, tmp_path):
    name = "vit_small_patch16_224"
    state = random_state(name, **NARROW)
    release = wrap(without(state, "head."))
    assert_loads(name, release, state, tmp_path / "dino.pth", **NARROW)


@pytest.mark.parametrize(
    ("prefix", "other"),
    [("module.encoder_q.", "module.encoder_k."), ("module.base_encoder.", "module.momentum.")],
)
def test_moco(prefix, other, tmp_path):
    state = random_state("resnet18", **THIN)
    queue = {"module.queue": torch.ones(4, 8), "module.queue_ptr": torch.ones(1).long()}
    zeros = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    release = {"state_dict": {**prefixed(state, prefix), **prefixed(zeros, other), **queue}}
    assert_loads("resnet18", release, state, tmp_path / "moco.pth.tar", **THIN)


def test_dinov2(tmp_path):
    name = "vit_small_patch14_dinov2"
    state = random_state(name, **NARROW)
    release = {**without(state, "head."), "mask_token": torch.zeros(1, 64)}
    assert_loads(name, release, state, tmp_path / "dinov2.pth", **NARROW)
    checkpoint = {"teacher": {**prefixed(release, "backbone."), "dino_head.x": torch.ones(2)}}
    assert_loads(name, checkpoint, state, tmp_path / "teacher.pth", **NARROW)


def test_dinov2_with_registers(tmp_path):
    """The release adds a position to its class token; timm's class token contains it."""
    name = "vit_small_patch14_reg4_dinov2"
    state = random_state(name, **NARROW)
    state["cls_token"] = torch.ones_like(state["cls_token"])
    release = renamed(without(state, "head."), ("^reg_token$", "register_tokens"))
    release["cls_token"] = 0.75 * state["cls_token"]
    own = torch.full((1, 1, 64), 0.25)
    release["pos_embed"] = torch.cat([own, state["pos_embed"]], dim=1)
    release["mask_token"] = torch.zeros(1, 64)
    assert_loads(name, release, state, tmp_path / "dinov2.pth", **NARROW)


def test_dinov3(tmp_path, capsys):
    name = "vit_small_patch16_dinov3"
    state = random_state(name, **NARROW)
    release = renamed(
        without(state, "head.", "rope."),
        (r"\.gamma_([12])$", r".ls\1.gamma"),
        ("^reg_token$", "storage_tokens"),
    )
    release["mask_token"] = torch.zeros(1, 64)
    release["rope_embed.periods"] = torch.ones(8)
    for block in range(2):
        release[f"blocks.{block}.attn.qkv.bias"] = torch.zeros(3 * 64)
        release[f"blocks.{block}.attn.qkv.bias_mask"] = torch.zeros(3 * 64)
    assert_loads(name, release, state, tmp_path / "dinov3.pth", **NARROW)
    assert capsys.readouterr().out == ""  # timm prints there


@pytest.mark.parametrize("prefix", ["visual.", "module.visual."])
@pytest.mark.parametrize("half", [False, True])
def test_openai_clip(prefix, half, tmp_path):
    name = "vit_base_patch16_clip_quickgelu_224"
    state = random_state(name, **NARROW)
    if half:
        state = {key: tensor.half().float() for key, tensor in state.items()}
    release = renamed(
        without(state, "head."),
        ("^patch_embed.proj", "conv1"),
        ("^pos_embed$", "positional_embedding"),
        ("^cls_token$", "class_embedding"),
        ("^norm_pre", "ln_pre"),
        ("^norm\\.", "ln_post."),
        (r"^blocks\.", "transformer.resblocks."),
        (r"\.norm([12])\.", r".ln_\1."),
        (r"attn\.qkv\.", "attn.in_proj_"),
        (r"attn\.proj", "attn.out_proj"),
        (r"mlp\.fc1", "mlp.c_fc"),
        (r"mlp\.fc2", "mlp.c_proj"),
    )
    release["positional_embedding"] = release["positional_embedding"][0]
    release["class_embedding"] = release["class_embedding"][0, 0]
    release["proj"] = torch.ones(64, 10)
    release = {**prefixed(release, prefix), **TEXT}
    if half:
        release = {key: tensor.half() for key, tensor in release.items()}
    assert_loads(name, release, state, tmp_path / "clip.pt", **NARROW)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*TorchScript:UserWarning")
def test_openai_clips_archive_is_refused(tmp_path):
    """The file itself is a TorchScript archive, which is more than tensors."""
    path = tmp_path / "ViT-B-16.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(UserError, match=r"cannot be read as tensors only.*TorchScript"):
        load_weights(torch.nn.Linear(2, 2), path)


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"])
def test_deit(name, tmp_path):
    state = random_state(name, depth=2)
    assert_loads(name, {"model": state}, state, tmp_path / "deit.pth", depth=2)


def test_deit3(tmp_path):
    name = "deit3_small_patch16_224"
    state = random_state(name, **NARROW)
    release = {"model": renamed(state, (r"\.ls([12])\.gamma$", r".gamma_\1"))}
    assert_loads(name, release, state, tmp_path / "deit3.pth", **NARROW)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}], ids=["dino", "supervised"])
def test_xcit(wrap, tmp_path):
    """The release holds q, k and v of its class attention in one layer."""
    name = "xcit_nano_12_p16_224"
    state = random_state(name)
    release = renamed(without(state, "head."), (r"^pos_embed\.", "pos_embeder."))
    for block in range(2):
        for kind in ("weight", "bias"):
            names = [f"cls_attn_blocks.{block}.attn.{letter}.{kind}" for letter in "qkv"]
            if names[0] in release:
                joined = torch.cat([release.pop(key) for key in names])
                release[f"cls_attn_blocks.{block}.attn.qkv.{kind}"] = joined
    assert_loads(name, wrap(release), state, tmp_path / "xcit.pth")


def test_convnext(tmp_path):
    name = "convnext_tiny"
    options = {"depths": (1, 1, 1, 2), "dims": (8, 16, 32, 64)}
    state = random_state(name, **options)
    release = renamed(
        state,
        (r"^stem\.", "downsample_layers.0."),
        (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
        (r"^stages\.(\d)\.blocks\.", r"stages.\1."),
        ("conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"^head\.norm\.", "norm."),
        (r"^head\.fc\.", "head."),
    )
    assert_loads(name, {"model": release}, state, tmp_path / "convnext.pth", **options)


def test_a_models_own_names_are_never_cut(tmp_path):
    """A hybrid's stem is called backbone: a wrapper is cut only where no name of timm's has it."""
    name = "vit_tiny_r_s16_p8_224"
    state = random_state(name, depth=2)
    assert any(".backbone." in key for key in state)
    release = {"model": prefixed(state, "module.")}
    assert_loads(name, release, state, tmp_path / "hybrid.pth", depth=2)


def test_weights_of_another_family_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"teacher": prefixed(random_state("resnet18"), "backbone.")}, path)
    model = timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=0)
    with pytest.raises(UserError, match=r"w.pth do not fit the backbone"):
        load_weights(model, path)
