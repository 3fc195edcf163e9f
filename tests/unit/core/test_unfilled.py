"""Modules made without drawing weights: what is skipped, and what is not."""

import pytest
import timm
import torch
from torch import nn

from raynef.core.unfilled import unfilled


class Noted(nn.Module):
    def __init__(self, fill):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((40, 40)))
        self.gain = nn.Parameter(torch.full((4,), 0.5))
        self.noise = nn.Buffer(torch.full((4,), 7.0))
        fill(self.weight)
        nn.init.normal_(self.noise)


@pytest.mark.parametrize(
    "fill",
    [
        nn.init.uniform_,
        nn.init.normal_,
        nn.init.trunc_normal_,
        nn.init.kaiming_uniform_,
        nn.init.kaiming_normal_,
        nn.init.xavier_uniform_,
        nn.init.xavier_normal_,
        timm.layers.trunc_normal_,
        timm.layers.lecun_normal_,
    ],
)
def test_parameters_are_left_and_all_else_is_filled(fill):
    with unfilled():
        made = Noted(fill)
    assert (made.weight == 0).all()
    assert (made.gain == 0.5).all()
    assert bool((made.noise != 7).all())
    assert made.weight.requires_grad
    assert not (Noted(fill).weight == 0).all()  # outside of it


def test_no_draw_is_spent_on_a_model_and_a_load_makes_it_whole():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    with unfilled():
        made = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=2)
    assert torch.rand(1) == expected
    filled = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=2)
    made.load_state_dict(filled.state_dict())
    image = torch.rand((1, 3, 224, 224))
    with torch.inference_mode():
        assert torch.equal(made.eval()(image), filled.eval()(image))
