"""Functions beside exact eigenvectors of one graph."""

import numpy as np
import torch

from raynef.assign.cuts import normalized_cut
from raynef.eigen.agreement import agreement


def graph(seed=0, size=400):
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(8), size // 8)
    matrix = generator.random((size, size)) * np.where(owner[:, None] == owner, 1.0, 0.05)
    matrix = (matrix + matrix.T) / 2
    root = np.sqrt(matrix.sum(axis=1))
    return torch.from_numpy(matrix / np.outer(root, root)), torch.from_numpy(owner)


def test_exact_eigenvectors_agree_in_full():
    matrix, _ = graph()
    values, vectors = torch.linalg.eigh(matrix)
    mixed = vectors[:, -6:] @ torch.randn(6, 6, dtype=torch.float64)
    found = agreement(matrix.matmul, mixed, tolerance=1e-10)
    torch.testing.assert_close(found.exact, values[-6:].flip(0))
    torch.testing.assert_close(found.ritz, found.exact)
    torch.testing.assert_close(found.cosines, torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(found.captured, torch.ones(6, dtype=torch.float64))


def test_others_do_not_and_the_numbers_say_how_far():
    matrix, _ = graph()
    values, vectors = torch.linalg.eigh(matrix)
    top, low = vectors[:, -1], vectors[:, 0]
    mixed = torch.stack([top, (vectors[:, -2] + low) / 2**0.5], dim=1)
    found = agreement(matrix.matmul, mixed, tolerance=1e-10)
    torch.testing.assert_close(found.cosines[1] ** 2, torch.tensor(0.5, dtype=torch.float64))
    torch.testing.assert_close(found.captured[1], torch.tensor(0.5, dtype=torch.float64))
    expected = torch.stack([values[-1], (values[-2] + values[0]) / 2])
    torch.testing.assert_close(found.ritz, expected)
    torch.testing.assert_close(found.rayleigh, expected)
    assert (found.ritz <= found.exact + 1e-9).all()


def test_functions_that_repeat_have_a_smaller_rank():
    matrix, _ = graph()
    one = torch.randn(400, 1, dtype=torch.float64)
    found = agreement(matrix.matmul, torch.cat([one, 2 * one, torch.zeros_like(one)], dim=1))
    assert len(found.exact) == len(found.ritz) == 1
    assert found.rayleigh[2] == 0


def test_the_cut_of_planted_groups_is_the_smallest():
    matrix, owner = graph()
    cut, used = normalized_cut(matrix.matmul, owner, num_clusters=10)
    shuffled, _ = normalized_cut(matrix.matmul, owner[torch.randperm(400)], num_clusters=10)
    assert used == 8
    assert cut < 0.3 < shuffled
    inside = [matrix[owner == k][:, owner == k].sum() / matrix[owner == k].sum() for k in range(8)]
    np.testing.assert_allclose(cut, 1 - np.mean(inside))
    assert normalized_cut(matrix.matmul, torch.zeros(400).long(), num_clusters=1) == (0.0, 1)
