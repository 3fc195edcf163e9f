"""The graph of many images' patches against a dense twin, and the means that are its nodes."""

import numpy as np
import pytest
import torch

from raynef.graph.cells import pooled
from raynef.graph.knn import unit_rows
from raynef.graph.whole import whole_affinity


def nodes(count=40, dim=6, seed=0):
    return unit_rows(torch.randn((count, dim), generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("num_neighbors", [5, 100])
def test_it_is_that_of_eq_2_made_symmetric(num_neighbors):
    rows = nodes().numpy()
    twin = np.zeros((40, 40))
    for i in range(40):
        similarity = rows @ rows[i]
        similarity[i] = -np.inf
        for j in np.argsort(-similarity)[: min(num_neighbors, 39)]:
            twin[i, j] = max(0, similarity[j])
    found = whole_affinity(torch.from_numpy(rows), num_neighbors)
    np.testing.assert_allclose(found.to_dense()[0].numpy(), (twin + twin.T) / 2, atol=1e-6)


def test_a_node_like_no_other_has_no_edge():
    rows = torch.cat((nodes() @ torch.eye(6, 7), torch.eye(7)[6:]))
    degrees = whole_affinity(rows, 3).degrees()[0]
    assert degrees[-1] == 0
    assert (degrees[:-1] > 0).all()


@pytest.mark.parametrize("grid", [(4, 4), (3, 5)])
def test_a_pooled_node_is_the_mean_of_its_valid_patches(grid):
    height, width = grid
    draws = torch.Generator().manual_seed(0)
    rows = torch.randn((2, height * width, 3), generator=draws)
    valid = torch.rand((2, height * width), generator=draws) < 0.6
    valid[0, 0] = valid[0, 1] = valid[0, width] = valid[0, width + 1] = False
    found, held = pooled(rows, valid, grid, 2)
    image, real = rows.view(2, height, width, 3), valid.view(2, height, width)
    at = 0
    for top in range(0, height, 2):
        for left in range(0, width, 2):
            for one in range(2):
                inside = real[one, top : top + 2, left : left + 2]
                patches = image[one, top : top + 2, left : left + 2][inside]
                assert bool(held[one, at]) == bool(inside.any())
                if len(patches):
                    assert torch.allclose(found[one, at], patches.mean(dim=0), atol=1e-6)
            at += 1
    assert found.shape == (2, at, 3)
    assert not held[0, 0]


def test_a_side_of_one_patch_changes_nothing():
    rows, valid = torch.randn(1, 6, 2), torch.ones((1, 6), dtype=torch.bool)
    found = pooled(rows, valid, (2, 3), 1)
    assert found[0] is rows
    assert found[1] is valid
