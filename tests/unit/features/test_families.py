"""Each family of backbones: its grid, its prefix tokens, and its taps against hooks written out."""

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import UserError
from raynef.features.backbone import Backbone, create_model, load_backbone
from raynef.features.extract import extract_features
from tests.known import present
from tests.unit.features.families import FC_NORM, ISOTROPIC, PYRAMIDS, create, images_of

pytestmark = pytest.mark.usefixtures("one_thread")
each_isotropic = pytest.mark.parametrize("member", ISOTROPIC, ids=str)
each_pyramid = pytest.mark.parametrize("member", PYRAMIDS, ids=str)
each = pytest.mark.parametrize("member", [*ISOTROPIC, *PYRAMIDS], ids=str)


@pytest.fixture(scope="module")
def models():
    """Each model once."""
    made = {}

    def get(member):
        if member.name not in made:
            made[member.name] = create(member)
        return made[member.name]

    return get


def hooked(model, images, **modules):
    """What modules return in one forward pass, by name."""
    seen, handles = {}, []
    for name, module in modules.items():

        def keep(_module, _inputs, output, name=name):
            seen[name] = output

        handles.append(module.register_forward_hook(keep))
    with torch.no_grad():
        seen["output"] = model.forward_features(images)
    for handle in handles:
        handle.remove()
    return seen


@each
def test_grid_and_statistics_follow_from_the_model(models, member):
    backbone = Backbone(models(member), name=member.name, tap="norm")
    assert (backbone.patch_size, backbone.dim) == (member.patch_size, member.dim)
    assert backbone.num_prefix_tokens == member.num_prefix
    config = present(timm.get_pretrained_cfg(member.name))
    assert (backbone.mean, backbone.std) == (config.mean, config.std)
    for height, width in ((1, 1), (4, 6), (7, 3), (1, 5)):
        images = images_of(height * member.patch_size, width * member.patch_size, batch=1)
        assert backbone(images).shape == (1, 3, height * width, member.dim)


@each
def test_features_are_frozen_and_the_same_again(models, member):
    backbone = Backbone(models(member), name=member.name, tap="norm")
    assert not any(module.training for module in backbone.model.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    images = images_of(2 * member.patch_size, 3 * member.patch_size)
    taps = backbone(images)
    assert taps.dtype == torch.float32
    assert not taps.requires_grad
    assert torch.equal(taps, backbone(images))
    alone = torch.cat([backbone(image[None]) for image in images])
    torch.testing.assert_close(taps, alone, rtol=1e-3, atol=1e-3)
    assert not any(module._forward_hooks for module in backbone.model.modules())
    assert not any(module._forward_pre_hooks for module in backbone.model.modules())


@each_isotropic
def test_taps_of_all_blocks(models, member):
    model, blocks = models(member), models(member).blocks
    images = images_of(4 * member.patch_size, 6 * member.patch_size)
    taps = Backbone(model, name=member.name, tap="norm")(images)
    seen = hooked(model, images, first=blocks[0], middle=blocks[len(blocks) // 2])
    last = seen["output"]
    if member.name in FC_NORM:
        assert isinstance(model.norm, nn.Identity)
        last = functional.layer_norm(
            last, (member.dim,), model.fc_norm.weight, model.fc_norm.bias, model.fc_norm.eps
        )
    within = 0 if member.name.startswith("xcit") else member.num_prefix
    for tap, expected, num_prefix in (
        (0, seen["first"], within),
        (1, seen["middle"], within),
        (2, last, member.num_prefix),
    ):
        assert expected.shape[1] == num_prefix + 24
        torch.testing.assert_close(taps[:, tap], expected[:, num_prefix:], rtol=1e-4, atol=1e-4)
    assert (taps[:, 0] - taps[:, 1]).abs().max() > 0.01  # the comparison can tell them apart


@each_isotropic
def test_keys_are_the_middle_third_of_qkv(models, member):
    model = models(member)
    block, dim = model.blocks[-1], member.dim
    images = images_of(2 * member.patch_size, 3 * member.patch_size)
    taps = Backbone(model, name=member.name, tap="keys")(images)
    tokens = hooked(model, images, tokens=block.norm1)["tokens"]
    attention = block.attn
    if hasattr(attention, "k_proj") and attention.k_proj is not None:
        keys = tokens @ attention.k_proj.weight.T
        bias = attention.k_proj.bias
    else:
        keys = tokens @ attention.qkv.weight[dim : 2 * dim].T
        bias = attention.qkv.bias
        bias = bias[dim : 2 * dim] if bias is not None else None  # DINOv3's and EVA's keys have 0
    keys = keys if bias is None else keys + bias
    torch.testing.assert_close(taps[:, 2], keys[:, -6:], rtol=1e-4, atol=1e-4)
    norm = Backbone(model, name=member.name, tap="norm")(images)
    assert torch.equal(taps[:, :2], norm[:, :2])
    assert (taps[:, 2] - norm[:, 2]).abs().max() > 0.1


@each_isotropic
def test_prefix_tokens_are_dropped_and_patches_come_row_by_row(member):
    """With blocks that pass tokens on, only the patch that changes changes its feature."""
    torch.manual_seed(0)  # a ResNet of other random weights may see its neighbor better than itself
    model = create(member)
    with torch.no_grad():
        for block in model.blocks:
            layers = [block.attn.proj, block.mlp.fc2]
            layers += [block.local_mp.conv2] if hasattr(block, "local_mp") else []
            for layer in layers:
                layer.weight.zero_()
                layer.bias.zero_()
    backbone = Backbone(model, name=member.name, tap="norm")
    patch, width = member.patch_size, 5
    images = images_of(3 * patch, width * patch, batch=1)
    before = backbone(images)
    for row, column in [(0, 0), (0, 4), (1, 2), (2, 0), (2, 4)]:
        changed = images.clone()
        changed[:, :, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch] += 1
        difference = (backbone(changed) - before)[:, 0].abs().amax(dim=(0, 2))
        found = set(difference.nonzero().flatten().tolist())
        if "_r_" in member.name:  # a ResNet as stem: patches see far beyond their borders
            assert difference.argmax() == row * width + column
        elif member.name.startswith("xcit"):  # its patches are centerd on their top left corners
            own = {row * width + column}
            next_rows, next_columns = min(row + 1, 2), min(column + 1, width - 1)
            beside = {r * width + c for r in (row, next_rows) for c in (column, next_columns)}
            assert own <= found <= beside
        else:
            assert found == {row * width + column}


def last_stage(model, name):
    """The blocks of the last stage, the stage, and whether maps are [B, h, w, D]."""
    if name.startswith("resnet"):
        return list(model.layer4), model.layer4, False
    if name.startswith("convnext"):
        return list(model.stages[3].blocks), model.stages[3], False
    if name.startswith("efficientnet"):
        return list(model.blocks[6]), model.blocks[6], False
    if name.startswith("regnet"):
        return list(model.s4.children()), model.s4, False
    return list(model.layers[3].blocks), model.norm, True


@each_pyramid
def test_taps_of_the_last_stage(models, member):
    model = models(member)
    blocks, stage, channels_last = last_stage(model, member.name)
    images = images_of(2 * member.patch_size, 3 * member.patch_size)
    taps = Backbone(model, name=member.name, tap="norm")(images)
    seen = hooked(model, images, first=blocks[0], middle=blocks[len(blocks) // 2], last=stage)
    for tap, name in enumerate(("first", "middle", "last")):
        expected = seen[name]
        if channels_last:
            expected = expected.permute(0, 3, 1, 2)
        assert expected.shape == (2, member.dim, 2, 3)
        found = taps[:, tap].reshape(2, 2, 3, member.dim).permute(0, 3, 1, 2)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_resnet_and_xcit_as_in_deep_spectral_methods():
    """Table 9 of arXiv:2205.07839: the last block, and cross-covariance attention's keys."""
    resnet = next(member for member in PYRAMIDS if member.name == "resnet50")
    assert len(Backbone(create(resnet), name="resnet50", tap="norm").plan.blocks) == 3
    xcit = Backbone(create_model("xcit_nano_12_p16_224"), name="xcit", tap="keys")
    assert xcit(images_of(96, 160, 1)).shape == (1, 3, 6 * 10, 128)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("mixer_s32_224", {}, "it takes images of 224x224 but not of other sizes such as 96x160"),
        ("test_vit_relpos", {}, "it takes images of 160x160 but not of other sizes"),
        ("cait_xxs24_224", {"depth": 1}, "it takes images of 224x224 but not of other sizes"),
        ("test_maxvit", {}, "it takes images of 160x160 but not of other sizes"),
        ("coat_lite_tiny", {}, "its features do not pass through the blocks that it describes"),
        ("densenet121", {}, "its last feature map comes from no sequence of blocks"),
    ],
)
def test_models_without_a_patch_grid_are_refused(name, options, reason):
    model = timm.create_model(name, num_classes=0, **options)
    with pytest.raises(UserError, match=rf"'{name}' yields no patch grid: {reason}") as caught:
        Backbone(model, name=name, tap="norm")
    assert all(good in str(caught.value) for good in ("vit_small_patch16_384", "resnet50"))


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "efficientnet_b0"])
def test_keys_where_a_family_has_none(name):
    with pytest.raises(
        UserError, match=r"backbone.tap keys: .* no qkv or k_proj layer; use backbone.tap norm"
    ):
        Backbone(timm.create_model(name, num_classes=0), name=name, tap="keys")


def test_keys_of_windows_are_refused(models):
    swin = PYRAMIDS[-1]
    with pytest.raises(UserError, match=r"backbone.tap keys does not fit swin.*grid of 3x5"):
        Backbone(models(swin), name=swin.name, tap="keys")


@each_pyramid
def test_extraction_at_the_grid_of_a_pyramid(models, member):
    backbone = Backbone(models(member), name=member.name, tap="norm")
    patch = member.patch_size
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3 * patch, 5 * patch, 3), np.uint8)
    extents = np.array([[3 * patch, 5 * patch], [2 * patch + 1, 4 * patch - 1]])
    found = extract_features(backbone, pixels, extents)
    assert found.taps.shape == (2, 3, 15, member.dim)
    assert found.taps.dtype == torch.float32  # on a CPU nothing runs at half precision
    assert found.thumbnails.shape == (2, 3, 5, 3)
    assert found.valid.sum(dim=(1, 2)).tolist() == [15, 2 * 3]
    assert found.valid[1, :2, :3].all()


@pytest.mark.parametrize("tap", ["norm", "keys"])
@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", "vit_tiny_patch16_224"),
        ("deit_tiny_patch16_224.fb_in1k", "deit_tiny_patch16_224"),
    ],
)
def test_real_weights_at_an_odd_grid(shared_dir, folder, name, tap):
    path = shared_dir / "weights" / folder / "model.safetensors"
    backbone = load_backbone(BackboneConfig(name=name, weights=str(path), tap=tap))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 7 * 16, 11 * 16, 3), np.uint8)
    taps = extract_features(backbone, pixels).taps
    mean, std = (torch.tensor(value).reshape(3, 1, 1) for value in (backbone.mean, backbone.std))
    images = (torch.tensor(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    model = backbone.model
    seen = hooked(
        model, images, first=model.blocks[0], middle=model.blocks[6], qkv=model.blocks[11].attn.qkv
    )
    last = seen["qkv"][..., 192:384] if tap == "keys" else seen["output"]
    expected = torch.stack([part[:, 1:] for part in (seen["first"], seen["middle"], last)], dim=1)
    assert taps.shape == (1, 3, 77, 192)
    torch.testing.assert_close(taps, expected, rtol=1e-3, atol=1e-3)
