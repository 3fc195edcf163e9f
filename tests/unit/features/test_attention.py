"""Attention in blocks, beside the formula in float64 and beside torch's own."""

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor
from torch.nn import functional

from raynef.features import attention
from raynef.features.attention import BlockAttention, block_attention
from raynef.features.backbone import Backbone
from raynef.features.extract import extract_features


def parts(
    *, batch=3, heads=2, queries=7, keys=11, dim=4, values=5, dtype=torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn((batch, heads, *shape), generator=generator).to(dtype)

    return drawn(queries, dim), drawn(keys, dim), drawn(keys, values)


def formula(query, key, value, scale):
    query, key, value = (part.double() for part in (query, key, value))
    return (scale * query @ key.transpose(2, 3)).softmax(dim=-1) @ value


@pytest.mark.parametrize("elements", [1, 11, 25, 77, 160, 10_000])  # rows, heads, several, all
@pytest.mark.parametrize("scale", [None, 0.3])
def test_blocks_of_any_size_give_the_formula(elements, scale, monkeypatch):
    monkeypatch.setattr(attention, "_BLOCK_ELEMENTS", elements)
    given = parts()
    found = block_attention(*given, scale=scale)
    torch.testing.assert_close(found.double(), formula(*given, scale or 0.5), rtol=1e-5, atol=1e-6)


def test_bfloat16_is_as_near_to_the_formula_as_its_rounding():
    given = parts(queries=50, keys=50, dim=64, values=64, dtype=torch.bfloat16)
    wanted = formula(*given, 1 / 8)
    found = block_attention(*given)
    assert found.dtype == torch.bfloat16
    assert (found - wanted).norm() / wanted.norm() < 0.01


def test_a_plain_call_in_bfloat16_is_answered_in_blocks():
    given = parts(values=4, dtype=torch.bfloat16)
    with torch.inference_mode(), BlockAttention():
        found = functional.scaled_dot_product_attention(*given, dropout_p=0.0, scale=0.3)
    assert torch.equal(found, block_attention(*given, scale=0.3))


def test_what_autocast_makes_bfloat16_is_answered_in_blocks():
    given = parts(values=4)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), BlockAttention():
        found = functional.scaled_dot_product_attention(*given)
    assert torch.equal(found, block_attention(*(part.bfloat16() for part in given)))


@pytest.mark.parametrize(
    "options",
    [
        {"attn_mask": torch.tensor([True] * 6 + [False]).expand(7, 7)},
        {"attn_mask": torch.linspace(-2, 2, 7).bfloat16().expand(7, 7)},
        {"is_causal": True},
        {"learns": True},
        {"dtype": torch.float32},
    ],
)
def test_any_other_call_is_torchs_own(options, monkeypatch):
    monkeypatch.setattr(attention, "block_attention", None)  # not to be called
    more: dict[str, Any] = dict(options)
    learns, dtype = more.pop("learns", False), more.pop("dtype", torch.bfloat16)
    given = parts(keys=7, values=4, dtype=dtype)
    with torch.set_grad_enabled(learns):
        wanted = functional.scaled_dot_product_attention(*given, **more)
        with BlockAttention():
            found = functional.scaled_dot_product_attention(*given, **more)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(("precision", "blocks"), [("bfloat16", 12), ("float32", 0)])
def test_backbones_in_bfloat16_attend_in_blocks(precision, blocks, monkeypatch):
    calls = []

    def counted(*given, **options):
        calls.append(given)
        return block_attention(*given, **options)

    monkeypatch.setattr(attention, "block_attention", counted)
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True, num_classes=0)
    backbone = Backbone(model, name="vit_tiny_patch16_224", tap="norm")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    taps = extract_features(backbone, pixels, precision=precision).taps
    assert len(calls) == blocks
    exact = extract_features(backbone, pixels).taps
    assert torch.equal(taps, exact) == (precision == "float32")
    assert torch.cosine_similarity(taps, exact, dim=-1).min() > 0.99
