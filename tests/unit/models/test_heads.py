"""Linear heads: what they see of the backbone or of ψ, and what their argmax means."""

import pytest
import torch
from torch.nn import functional

from raynef.eigen.psi import AttentionPsi
from raynef.models.heads import LinearHead, from_centroids, trunk_of

BATCH, TAPS, PATCHES, DIM, K = 2, 3, 20, 8, 5


@pytest.fixture
def taps():
    return torch.randn((BATCH, TAPS, PATCHES, DIM), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def psi():
    return AttentionPsi(TAPS * DIM, 7, num_blocks=1, seed=2).eval()


def test_without_a_trunk_it_sees_the_last_tap_alone(taps):
    head = LinearHead(DIM, K)
    expected = taps[:, -1] @ head.head.weight.T + head.head.bias
    assert torch.allclose(head(taps), expected, atol=1e-6)
    taps[:, :-1] = torch.nan
    assert torch.allclose(head(taps), expected, atol=1e-6)


@pytest.mark.parametrize("padded", [False, True])
def test_with_a_trunk_it_sees_what_psis_own_head_sees(taps, psi, padded):
    valid = torch.ones((BATCH, PATCHES), dtype=torch.bool)
    if padded:
        valid[0, 12:] = False
    head = LinearHead(TAPS * DIM, 7, trunk=trunk_of(psi))
    head.head.load_state_dict(psi.plain().head.state_dict())
    assert torch.allclose(head(taps, valid), psi(taps, valid), atol=1e-6)


def test_a_trunk_is_a_frozen_copy_without_a_head(psi):
    trunk = trunk_of(psi)
    assert not hasattr(trunk, "head")
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    assert all(parameter.requires_grad for parameter in psi.parameters())
    with torch.no_grad():
        trunk.norm.weight.zero_()
    assert psi.norm.weight.abs().sum() > 0


def test_cosine_sees_directions_alone_and_zero_stays_zero(taps):
    head = LinearHead(DIM, K, cosine=True)
    assert torch.allclose(head(taps), head(7 * taps), atol=1e-5)
    lengths = head.features(taps).norm(dim=-1)
    assert torch.allclose(lengths, torch.ones_like(lengths))
    assert torch.equal(head.features(torch.zeros_like(taps)), torch.zeros(BATCH, PATCHES, DIM))


@pytest.mark.parametrize("cosine", [False, True])
def test_centroids_become_a_head_of_nearest_neighbors(taps, cosine):
    centroids = torch.randn((K, DIM), generator=torch.Generator().manual_seed(1))
    centroids = functional.normalize(centroids, dim=1) if cosine else centroids
    head = from_centroids(centroids, cosine=cosine)
    seen = functional.normalize(taps[:, -1], dim=-1) if cosine else taps[:, -1]
    distances = (seen[:, :, None] - centroids).square().sum(dim=-1)
    logits = head(taps)
    assert torch.equal(logits.argmax(dim=-1), distances.argmin(dim=-1))
    # Equal to −d² up to a term that all clusters of a patch share.
    assert torch.allclose(logits - seen.square().sum(dim=-1, keepdim=True), -distances, atol=1e-4)


def test_half_precision_around_it_does_not_reach_the_distances(taps):
    """‖c‖² far from the origin would swallow what decides, in bfloat16."""
    centroids = 50 + torch.randn((K, DIM), generator=torch.Generator().manual_seed(1))
    head = from_centroids(centroids)
    expected = head(50 + taps)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(50 + taps), expected)
