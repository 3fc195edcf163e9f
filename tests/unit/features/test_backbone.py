"""Taps against a loop over timm's own modules, and which names are refused."""

import pytest
import safetensors.torch
import timm
import torch

from raynef.config.recipe import BUNDLED_BACKBONE
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import UserError
from raynef.features.backbone import NUM_TAPS, Backbone, create_model, load_backbone

pytestmark = pytest.mark.usefixtures("one_thread")
VIT, DEIT, DINO = (
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "vit_small_patch14_reg4_dinov2",
)
NUM_PREFIX = {VIT: 1, DEIT: 2, DINO: 5, BUNDLED_BACKBONE: 0}


@pytest.fixture(scope="module")
def models():
    """Each model once, every parameter random: LayerScale's 1e-5 would make all blocks alike."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = create_model(name)
            generator = torch.Generator().manual_seed(0)
            with torch.no_grad():
                for parameter in made[name].parameters():
                    parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        return made[name].eval()

    return get


def images_of(height, width, batch=2, seed=0):
    return torch.randn((batch, 3, height, width), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def manual_taps(model, images, tap, num_prefix):
    """Block 0's output, block n/2's, and the final norm's or the last block's keys."""
    tokens = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))
    outputs, keys = [], []
    for block in model.blocks:
        heads = block.attn.num_heads
        batch, length, dim = tokens.shape
        qkv = block.attn.qkv(block.norm1(tokens))
        qkv = qkv.reshape(batch, length, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
        keys.append(qkv[1].transpose(1, 2).reshape(batch, length, dim))
        tokens = block(tokens)
        outputs.append(tokens)
    last = keys[-1] if tap == "keys" else model.norm(tokens)
    taps = [outputs[0], outputs[len(outputs) // 2], last]
    return torch.stack([part[:, num_prefix:] for part in taps], dim=1)


@pytest.mark.parametrize("tap", ["norm", "keys"])
@pytest.mark.parametrize(
    ("name", "size"),
    [
        (VIT, (32, 48)),
        (VIT, (224, 224)),
        (VIT, (16, 16)),
        (VIT, (64, 16)),
        (DEIT, (48, 32)),
        (DINO, (28, 42)),
        (DINO, (14, 14)),
        (BUNDLED_BACKBONE, (32, 80)),
        (BUNDLED_BACKBONE, (240, 32)),
    ],
)
def test_taps_equal_a_manual_loop(models, name, size, tap):
    model, images = models(name), images_of(*size)
    backbone = Backbone(model, name=name, tap=tap)
    taps = backbone(images)
    grid = (size[0] // backbone.patch_size, size[1] // backbone.patch_size)
    assert taps.shape == (2, NUM_TAPS, grid[0] * grid[1], backbone.dim)
    expected = manual_taps(model, images, tap, NUM_PREFIX[name])
    torch.testing.assert_close(taps, expected, rtol=1e-4, atol=1e-4)
    # The comparison can tell the taps apart.
    assert (expected[:, 0] - expected[:, 1]).abs().max() > 0.01
    assert (expected[:, 1] - expected[:, 2]).abs().max() > 0.01


def test_an_image_does_not_see_its_batch(models):
    backbone = Backbone(models(VIT), name=VIT, tap="norm")
    images = images_of(32, 32, batch=3)
    alone = torch.cat([backbone(image[None]) for image in images])
    torch.testing.assert_close(backbone(images), alone, rtol=1e-4, atol=1e-4)


def test_hooks_do_not_pile_up(models):
    model = models(VIT)
    backbone = Backbone(model, name=VIT, tap="keys")
    for _ in range(3):
        backbone(images_of(16, 16))
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", [VIT, DEIT])
def test_patches_come_row_by_row(name):
    """With blocks that pass tokens on, only the patch that changes changes its feature."""
    model = create_model(name)
    with torch.no_grad():
        for block in model.blocks:
            for layer in (block.attn.proj, block.mlp.fc2):
                layer.weight.zero_()
                layer.bias.zero_()
    backbone = Backbone(model, name=name, tap="norm")
    height, width = 3, 5
    images = images_of(height * 16, width * 16, batch=1)
    before = backbone(images)
    for row, column in [(0, 0), (0, 4), (1, 2), (2, 0), (2, 4)]:
        changed = images.clone()
        changed[:, :, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] += 1
        difference = (backbone(changed) - before).abs().amax(dim=(0, 1, 3))
        assert difference.nonzero().flatten().tolist() == [row * width + column]


@pytest.mark.parametrize("size", [(33, 32), (32, 40), (15, 16), (8, 8)])
def test_other_sizes_are_refused(models, size):
    backbone = Backbone(models(VIT), name=VIT, tap="norm")
    with pytest.raises(
        ValueError, match=f"multiples of the patch size 16, got {size[0]}x{size[1]}"
    ):
        backbone(images_of(*size))


def test_it_is_frozen(models):
    backbone = Backbone(models(VIT), name=VIT, tap="norm")
    assert not backbone.model.training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not backbone(images_of(16, 16)).requires_grad


@pytest.mark.parametrize(
    ("name", "patch_size", "dim", "mean"),
    [
        (VIT, 16, 192, 0.5),
        (DEIT, 16, 192, 0.485),
        (DINO, 14, 384, 0.485),
        (BUNDLED_BACKBONE, 16, 192, 0.5),
    ],
)
def test_what_follows_from_the_model(models, name, patch_size, dim, mean):
    backbone = Backbone(models(name), name=name, tap="norm")
    assert (backbone.patch_size, backbone.dim, backbone.mean[0]) == (patch_size, dim, mean)
    assert len(backbone.mean) == len(backbone.std) == 3
    assert backbone.num_prefix_tokens == NUM_PREFIX[name]


@pytest.mark.parametrize("tap", ["norm", "keys"])
@pytest.mark.parametrize("name", [VIT, DEIT, BUNDLED_BACKBONE])
def test_load_backbone_from_a_file(models, tmp_path, name, tap):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(models(name).state_dict(), path)
    backbone = load_backbone(BackboneConfig(name=name, weights=str(path), tap=tap))
    assert (backbone.name, backbone.tap) == (name, tap)
    images = images_of(32, 32)
    assert torch.equal(backbone(images), Backbone(models(name), name=name, tap=tap)(images))


def test_unknown_names_come_with_similar_ones():
    with pytest.raises(UserError, match=r"'vit_tiny_patch16_225' is not .* similar: .*\b" + VIT):
        create_model("vit_tiny_patch16_225")
    with pytest.raises(UserError, match=r"'zzzzzzzzzz' is not a timm model$"):
        create_model("zzzzzzzzzz")


def test_an_unknown_tag_is_the_users_mistake():
    with pytest.raises(UserError, match=r"vit_tiny_patch16_224\.nope.*Invalid pretrained tag"):
        create_model(f"{VIT}.nope")


def test_weights_that_the_hub_does_not_give(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(UserError, match=r"no network.*--backbone.weights FILE") as caught:
        load_backbone(BackboneConfig(name=VIT, weights="hub"))
    assert isinstance(caught.value.__cause__, OSError)


def test_keys_where_there_are_none():
    model = create_model(VIT)
    model.blocks[-1].attn.qkv = torch.nn.Identity()
    with pytest.raises(UserError, match=r"backbone.tap keys: .* no qkv or k_proj"):
        Backbone(model, name=VIT, tap="keys")
