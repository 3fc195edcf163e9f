"""Dense features of CLIP: slow twins, images of any size, and towers that have none."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import UserError
from raynef.features.backbone import create_model, load_backbone
from raynef.features.dense_clip import attended, neighborhood
from tests.planted_clip import write_clip

GRID = (3, 4)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    nn.init.normal_(layer.in_proj_bias)
    nn.init.normal_(layer.out_proj.bias)
    return layer.requires_grad_(False)


@pytest.fixture
def tokens():
    return torch.randn((2, 13, 8), generator=torch.Generator().manual_seed(0))


def test_values_are_attention_to_oneself_alone(layer, tokens):
    others = ~torch.eye(13, dtype=torch.bool)
    expected = layer(tokens, tokens, tokens, attn_mask=others, need_weights=False)[0][:, 1:]
    assert torch.allclose(attended(tokens, layer, GRID, "values"), expected, atol=1e-6)


def test_a_neighborhood_is_keys_with_keys_and_a_gaussian(layer, tokens):
    _, keys, values = functional.linear(tokens, layer.in_proj_weight, layer.in_proj_bias).chunk(
        3, dim=-1
    )
    expected = torch.zeros(2, 12, 8)
    for image in range(2):
        for patch in range(12):
            parts = []
            for head in (slice(0, 4), slice(4, 8)):
                logits = keys[image, :, head] @ keys[image, 1 + patch, head] / 2
                for other in range(12):
                    down, across = patch // 4 - other // 4, patch % 4 - other % 4
                    logits[1 + other] += torch.exp(torch.tensor(-(down**2 + across**2) / 50))
                parts.append(logits.softmax(dim=0) @ values[image, :, head])
            expected[image, patch] = layer.out_proj(torch.cat(parts))
    assert torch.allclose(attended(tokens, layer, GRID, "neighborhood"), expected, atol=1e-5)


def test_nearness_falls_with_distance():
    near = neighborhood((5, 7))
    assert torch.equal(near, near.T)
    assert torch.allclose(near.diagonal(), torch.ones(35))
    assert near[0, 1] == near[0, 7] > near[0, 8] > near[0, 34] > 0


@pytest.fixture(scope="module")
def name(tmp_path_factory) -> str:
    return "open_clip/" + write_clip(tmp_path_factory.mktemp("clip"))


def test_it_is_a_backbone_for_images_of_any_size(name):
    backbone = load_backbone(BackboneConfig(name=name))
    assert (backbone.dim, backbone.patch_size) == (32, 16)
    images = torch.randn((2, 3, 48, 80), generator=torch.Generator().manual_seed(0))
    taps = backbone(images)
    assert taps.shape == (2, 3, 15, 32)
    assert torch.equal(taps[:, 0], taps[:, 2])
    neighborly = load_backbone(BackboneConfig(name=name, tap="neighborhood"))(images)
    assert not torch.allclose(neighborly, taps, atol=1e-3)
    empty = create_model(name)
    assert (empty.patch_size, empty.feature_info[0]["num_chs"]) == (16, 32)


def test_at_the_native_size_it_is_the_tower_up_to_the_last_block(name):
    model = load_backbone(BackboneConfig(name=name)).model
    visual = model.visual
    images = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    seen = []
    handle = visual.transformer.resblocks[-1].ln_1.register_forward_hook(
        lambda _m, _i, output: seen.append(output)
    )
    with torch.no_grad():
        visual(images)
        model.forward_features(images)
    handle.remove()
    own, ours = seen
    assert torch.allclose(own, ours, atol=1e-6)


def test_taps_that_it_has_not_are_named(name, tmp_path, tiny_weights):
    with pytest.raises(UserError, match="last block of this backbone has no qkv"):
        load_backbone(BackboneConfig(name=name, tap="keys"))
    timms = BackboneConfig(
        name="vit_tiny_patch16_224", weights=str(tiny_weights), tap="neighborhood"
    )
    with pytest.raises(UserError, match=r"neighborhood is of a backbone open_clip/NAME\.TAG"):
        load_backbone(timms)
    pooled = write_clip(tmp_path / "pooled", attentional_pool=True, attn_pooler_heads=4)
    with pytest.raises(UserError, match="has not OpenAI's visual transformer"):
        load_backbone(BackboneConfig(name=f"open_clip/{pooled}"))
