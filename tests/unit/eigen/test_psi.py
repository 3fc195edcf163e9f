"""ψ, its schedules and its noise, each against its formula."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from raynef.eigen.gumbel import cosine_schedule, gumbel_noise, gumbel_softmax
from raynef.eigen.psi import AttentionPsi, Block, LinearAttention
from tests.known import a


def test_linear_attention_is_its_formula():
    torch.manual_seed(0)
    attention = LinearAttention(12, num_heads=3, head_dim=4).double()
    tokens = torch.randn(2, 7, 12, dtype=torch.float64)
    valid = torch.ones(2, 7, dtype=torch.bool)
    valid[1, 4:] = False
    weights = attention.qkv.weight.view(3, 3, 4, 12)  # q/k/v, head, channel, input
    out = torch.zeros(2, 7, 3, 4, dtype=torch.float64)
    for image in range(2):
        real = [i for i in range(7) if valid[image, i]]
        for head in range(3):
            q, k, v = (tokens[image] @ weights[part, head].T for part in range(3))
            k_exp = k[real].exp()
            context = (k_exp / k_exp.sum(dim=0)).T @ v[real]
            for i in range(7):
                q_soft = q[i].exp() / q[i].exp().sum() / math.sqrt(4)
                out[image, i, head] = q_soft @ context
    expected = attention.proj(out.reshape(2, 7, 12))
    assert torch.allclose(attention(tokens, valid), expected, atol=1e-12)


def test_psi_is_pre_norm_blocks_a_norm_and_a_linear_head():
    """With every parameter random: norms that scale by 1 and shift by 0 would not show."""
    psi = AttentionPsi(12, 5, num_heads=2, head_dim=4, mlp_dim=7, orthogonal_head=False).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in psi.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    taps = torch.randn(2, 3, 7, 4, dtype=torch.float64, generator=generator)
    valid = torch.ones(2, 7, dtype=torch.bool)

    def norm(layer, tokens):
        centerd = tokens - tokens.mean(dim=-1, keepdim=True)
        deviation = (centerd.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        return centerd / deviation * layer.weight + layer.bias

    tokens = torch.cat([taps[:, 0], taps[:, 1], taps[:, 2]], dim=-1)
    for block in (a(Block, block) for block in psi.blocks):
        first, second = a(nn.Linear, block.mlp[0]), a(nn.Linear, block.mlp[2])
        tokens = tokens + block.attention(norm(block.norm_attention, tokens), valid)
        hidden = norm(block.norm_mlp, tokens) @ first.weight.T + first.bias
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
        tokens = tokens + hidden @ second.weight.T + second.bias
    features = norm(psi.norm, tokens)
    assert torch.allclose(psi.features(taps), features, atol=1e-10)
    assert torch.allclose(psi(taps), features @ psi.head.weight.T + psi.head.bias, atol=1e-10)


def test_attention_has_no_qkv_bias_and_the_papers_sizes():
    psi = AttentionPsi(30, 8)
    for block in (a(Block, block) for block in psi.blocks):
        assert block.attention.qkv.bias is None
        assert block.attention.qkv.weight.shape == (3 * 18 * 64, 30)
        assert a(nn.Linear, block.mlp[0]).out_features == 576
    assert len(psi.blocks) == 2
    assert psi.head.bias is not None


def test_head_stays_orthogonal_while_it_trains():
    psi = AttentionPsi(30, 8)
    optimizer = torch.optim.Adam(psi.parameters(), lr=0.05)
    before = psi.head.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        psi(torch.randn(2, 3, 5, 10)).square().sum().backward()
        optimizer.step()
    weight = psi.head.weight.detach()
    assert not torch.allclose(weight, before, atol=1e-3)
    assert torch.allclose(weight @ weight.T, torch.eye(8), atol=1e-5)


def test_head_is_plain_where_k_exceeds_the_input():
    psi = AttentionPsi(6, 8)
    assert not hasattr(psi.head, "parametrizations")
    assert psi(torch.randn(1, 3, 4, 2)).shape == (1, 4, 8)


def test_padding_does_not_change_the_other_patches():
    psi = AttentionPsi(12, 4).eval()
    taps = torch.randn(2, 3, 6, 4)
    valid = torch.ones(2, 6, dtype=torch.bool)
    valid[0, 4:] = False
    other = taps.clone()
    other[0, :, 4:] = 100.0
    assert torch.allclose(psi(taps, valid)[valid], psi(other, valid)[valid], atol=1e-5)
    assert torch.allclose(psi(taps, valid)[0, :4], psi(taps[:1, :, :4])[0], atol=1e-5)


def test_an_image_of_padding_alone_is_finite():
    valid = torch.zeros(1, 6, dtype=torch.bool)
    assert torch.isfinite(AttentionPsi(12, 4)(torch.randn(1, 3, 6, 4), valid)).all()


def test_initial_weights_follow_from_the_seed_and_leave_the_global_state():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, same, other = (
        AttentionPsi(12, 4, seed=1),
        AttentionPsi(12, 4, seed=1),
        AttentionPsi(12, 4, seed=2),
    )
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.head.weight, same.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_temperature_falls_along_a_cosine():
    values = [cosine_schedule(step, 101, start=1.0, end=0.3) for step in range(101)]
    assert values[0] == 1.0
    assert values[50] == pytest.approx(0.65)
    assert values[100] == pytest.approx(0.3)
    assert values == sorted(values, reverse=True)
    assert values[25] == pytest.approx(0.3 + 0.35 * (1 + math.cos(math.pi / 4)))
    assert cosine_schedule(0, 1, start=1.0, end=0.3) == 1.0


def test_gumbel_noise_is_gumbel_and_belongs_to_seed_epoch_and_image():
    both = gumbel_noise(400, 64, seed=0, epoch=3, images=[2, 7])
    (noise,) = gumbel_noise(400, 64, seed=0, epoch=3, images=[7])
    assert both.shape == (2, 400, 64)
    assert torch.equal(both[1], noise)  # whatever is beside it
    for other in ({"seed": 1}, {"epoch": 4}, {"images": [8]}):
        keys: dict[str, Any] = {"seed": 0, "epoch": 3, "images": [7]} | other
        assert not torch.equal(noise, gumbel_noise(400, 64, **keys)[0])
    assert torch.isfinite(noise).all()
    assert noise.mean() == pytest.approx(0.5772, abs=0.03)  # Euler's constant
    assert noise.var() == pytest.approx(math.pi**2 / 6, rel=0.05)


def test_gumbel_softmax_is_soft_and_sharpens():
    generator = torch.Generator().manual_seed(0)
    logits, noise = (torch.randn(5, 6, generator=generator) for _ in range(2))
    soft = gumbel_softmax(logits.half(), noise, 1.0)
    assert soft.dtype == torch.float32
    assert torch.allclose(soft.sum(dim=1), torch.ones(5))
    assert torch.allclose(soft, torch.softmax(logits.half().float() + noise, dim=1))
    sharp = gumbel_softmax(logits, noise, 0.3)
    assert torch.allclose(sharp, torch.softmax((logits + noise) / 0.3, dim=1))
    assert (sharp.max(dim=1).values > soft.max(dim=1).values).all()


def test_hard_gumbel_is_one_hot_with_the_gradient_of_the_soft_one():
    logits, noise, weights = torch.randn(5, 6), torch.randn(5, 6), torch.randn(5, 6)
    gradients = []
    for hard in (True, False):
        leaf = logits.clone().requires_grad_()
        assigned = gumbel_softmax(leaf, noise, 0.7, hard=hard)
        if hard:
            rounded = assigned.detach().round()
            assert torch.allclose(assigned.detach(), rounded, atol=1e-6)
            assert torch.equal(rounded.argmax(dim=1), (logits + noise).argmax(dim=1))
            assert torch.equal(rounded.sum(dim=1), torch.ones(5))
        (assigned * weights).sum().backward()
        gradients.append(leaf.grad)
    assert torch.allclose(gradients[0], gradients[1])


def test_a_plain_head_may_be_asked_for():
    assert not parametrize.is_parametrized(AttentionPsi(30, 8, orthogonal_head=False).head)


def test_plain_changes_nothing_but_the_cost():
    psi = AttentionPsi(30, 8).eval()
    taps = torch.randn(2, 3, 5, 10)
    before = psi(taps)
    assert torch.allclose(psi.plain()(taps), before, atol=1e-6)
    assert not hasattr(psi.head, "parametrizations")
    other = AttentionPsi(30, 8, orthogonal_head=False).eval()
    other.load_state_dict(psi.state_dict())
    assert torch.equal(other(taps), psi(taps))
