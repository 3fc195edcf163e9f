"""The segmentation network of self-training."""

from typing import Any

import pytest
import timm
import torch

from raynef.core.errors import UserError
from raynef.models.network import SegmentationNetwork, freeze

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("name", "stride"), [("vit_tiny_patch16_224", 16), ("resnet18", 32), ("convnext_atto", 32)]
)
def test_a_label_for_each_pixel(name, stride):
    options: dict[str, Any] = {"dynamic_img_size": True} if name.startswith("vit") else {}
    model = timm.create_model(name, num_classes=0, **options)
    network = SegmentationNetwork(model, 5, frozen=2).train()
    assert network.stride == stride
    images = torch.rand(2, 3, 64, 96)
    logits = network(images)
    assert logits.shape == (2, 5, 64, 96)
    logits.square().mean().backward()
    learning = [p for p in network.parameters() if p.requires_grad]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in learning)
    assert all(p.grad is None for p in network.parameters() if not p.requires_grad)


def test_one_image_does_not_see_another():
    model = timm.create_model("resnet18", num_classes=0)
    network = SegmentationNetwork(model, 3, frozen=0).train()
    images = torch.rand(3, 3, 64, 64)
    together, alone = network(images), network(images[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-4, rtol=1e-4)


def test_what_stays_frozen():
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    freeze(vit, 2)
    learning = {name for name, p in vit.named_parameters() if p.requires_grad}
    assert not any(name.startswith(("blocks.0.", "blocks.1.", "patch_embed")) for name in learning)
    assert "pos_embed" not in learning
    assert any(name.startswith("blocks.2.") for name in learning)
    resnet = timm.create_model("resnet18", num_classes=0)
    freeze(resnet, 2)
    learning = {name.partition(".")[0] for name, p in resnet.named_parameters() if p.requires_grad}
    assert learning == {"layer2", "layer3", "layer4"}
    stem = timm.create_model("resnet18", num_classes=0)
    freeze(stem, 1)
    learning = {name.partition(".")[0] for name, p in stem.named_parameters() if p.requires_grad}
    assert learning == {"layer1", "layer2", "layer3", "layer4"}
    with pytest.raises(UserError, match=r"selftrain\.frozen is 13, but the backbone has 12"):
        freeze(timm.create_model("vit_tiny_patch16_224", num_classes=0), 13)


def test_equal_seeds_are_equal_heads():
    def head(seed):
        model = timm.create_model("resnet18", num_classes=0)
        return SegmentationNetwork(model, 3, frozen=0, seed=seed).head.state_dict()

    first, second, other = head(1), head(1), head(2)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
