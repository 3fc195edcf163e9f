"""Any feature of any block, against hooks written out."""

import pytest
import timm
import torch

from raynef.core.errors import UserError
from raynef.features.blocks import BlockFeatures

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", num_classes=0, dynamic_img_size=True).eval()


@pytest.mark.parametrize("block", [-1, 0, 7])
@pytest.mark.parametrize("feature", ["query", "key", "value", "output", "token"])
def test_a_vit(vit, feature, block):
    images = torch.randn(2, 3, 48, 80)
    seen = {}
    own = vit.blocks[block]
    hooks = [
        own.attn.qkv.register_forward_hook(lambda _m, _i, out: seen.update(qkv=out)),
        own.attn.register_forward_hook(lambda _m, _i, out: seen.update(output=out)),
        own.register_forward_hook(lambda _m, _i, out: seen.update(token=out)),
    ]
    with torch.no_grad():
        vit(images)
    for hook in hooks:
        hook.remove()
    seen["query"], seen["key"], seen["value"] = seen["qkv"].chunk(3, dim=-1)
    found = BlockFeatures(vit, name="vit", feature=feature, block=block)(images)
    assert found.shape == (2, 3, 5, 192)
    torch.testing.assert_close(found.flatten(1, 2), seen[feature][:, 1:])


def test_pooled_is_what_the_model_makes_of_an_image(vit):
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            BlockFeatures(vit, name="vit", feature="key").pooled(images), vit(images)
        )


@pytest.mark.parametrize(("stage", "size", "dim"), [(None, 32, 512), (-1, 32, 512), (2, 16, 256)])
def test_a_pyramid(stage, size, dim):
    model = timm.create_model("resnet18", num_classes=0).eval()
    if stage is not None:
        stage = stage + 1 if stage > 0 else stage  # feature_info begins with the stem
    features = BlockFeatures(model, name="resnet18", feature="token", stage=stage)
    assert (features.patch_size, features.stride, features.dim) == (size, 32, dim)
    images = torch.randn(1, 3, 64, 96)
    found = features(images)
    layer = model.get_submodule("layer4" if size == 32 else "layer3")
    seen = {}
    hook = layer.register_forward_hook(lambda _m, _i, out: seen.update(out=out))
    with torch.no_grad():
        model(images)
    hook.remove()
    torch.testing.assert_close(found, seen["out"].permute(0, 2, 3, 1))


def test_what_there_is_not_is_said(vit):
    with pytest.raises(UserError, match=r"spectral\.block 12: vit has 12 blocks, 0 to 11"):
        BlockFeatures(vit, name="vit", feature="key", block=12)
    resnet = timm.create_model("resnet18", num_classes=0).eval()
    with pytest.raises(UserError, match=r"no attention; use --spectral\.feature token"):
        BlockFeatures(resnet, name="resnet18", feature="key")
    with pytest.raises(UserError, match="stage 1 was asked for, but it has no stages"):
        BlockFeatures(vit, name="vit", feature="key", stage=1)
    with pytest.raises(ValueError, match="multiples of 16, got 40x48"):
        BlockFeatures(vit, name="vit", feature="key")(torch.zeros(1, 3, 40, 48))
