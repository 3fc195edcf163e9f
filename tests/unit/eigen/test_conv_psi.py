"""ψ of convolutions: shapes, padding, neighbors, and what its head may be."""

import pytest
import torch

from raynef.eigen.conv_psi import ConvPsi


def psi(**changes):
    return ConvPsi(12, 5, **{"num_taps": 3, "orthogonal_head": False, **changes}).eval()


def taps(images=2, grid=(4, 6), seed=0):
    draws = torch.Generator().manual_seed(seed)
    return torch.randn((images, 3, grid[0] * grid[1], 4), generator=draws)


def test_shapes_and_seeds():
    assert psi()(taps(), grid=(4, 6)).shape == (2, 24, 5)
    assert psi().features(taps(grid=(5, 5))).shape == (2, 25, 4)  # square by itself
    assert torch.equal(psi()(taps(), grid=(4, 6)), psi()(taps(), grid=(4, 6)))
    assert not torch.equal(psi(seed=1)(taps(), grid=(4, 6)), psi()(taps(), grid=(4, 6)))


def test_the_grid_counts():
    assert not torch.allclose(psi()(taps(), grid=(4, 6)), psi()(taps(), grid=(6, 4)))


def test_a_patch_sees_its_neighbors_and_of_the_rest_the_mean():
    """Swapping two patches far away changes no mean, and so nothing here: two blocks of 5×5."""
    grid = (12, 12)
    one = taps(1, grid)
    other = one.clone()
    far = [11 * 12 + 11, 11 * 12 + 10]
    other[:, :, far] = one[:, :, far[::-1]]
    model = psi().double()
    first, second = (model(x.double(), grid=grid)[0] for x in (one, other))
    torch.testing.assert_close(first[0], second[0])
    assert not torch.allclose(first[11 * 12 + 8], second[11 * 12 + 8])
    other[:, -1, far[0], 0] += 1.0
    assert not torch.allclose(model(other.double(), grid=grid)[0, 0], first[0])


def test_padding_is_seen_by_no_one():
    valid = torch.ones((2, 24), dtype=torch.bool)
    valid[:, 18:] = False
    changed = taps().clone()
    changed[:, :, 18:] = 9.0
    model = psi()
    first, second = (model(x, valid, (4, 6)) for x in (taps(), changed))
    torch.testing.assert_close(first, second)


def test_an_image_of_padding_alone_is_finite():
    found = psi()(taps(), torch.zeros((2, 24), dtype=torch.bool), (4, 6))
    assert found.isfinite().all()


@pytest.mark.parametrize(("outputs", "held"), [(4, True), (5, False)])
def test_its_head_is_orthogonal_where_that_fits(outputs, held):
    model = ConvPsi(12, outputs, num_taps=3, orthogonal_head=True)
    product = model.head.weight @ model.head.weight.T
    assert torch.allclose(product, torch.eye(outputs), atol=1e-5) == held
