"""build_kernel against its dense twin, and where inputs are odd."""

import numpy as np
import pytest
import torch

from raynef.graph import build_kernel
from raynef.graph import knn as knn_module
from raynef.graph import pixels as pixels_module
from tests.unit.graph.twins import dense_kernel


def batch(images=2, height=5, width=6, dim=7, *, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn((images * height * width, dim), generator=generator, dtype=dtype)
    thumbnails = torch.rand((images, height, width, 3), generator=generator, dtype=dtype)
    return features, thumbnails


@pytest.mark.parametrize(
    ("shape", "num_neighbors", "alpha"),
    [
        ({}, 8, 0.3),
        ({"images": 3, "height": 4, "width": 4}, 40, 0.7),
        ({"images": 1, "height": 1, "width": 9}, 3, 0.3),
        ({"images": 1, "height": 9, "width": 1}, 100, 1.0),  # k capped at N - 1
        ({"images": 4, "height": 2, "width": 2}, 5, 0.3),  # pixel k capped at h·w - 1
        ({"images": 2}, 8, 0.0),
    ],
)
def test_equals_the_dense_construction(shape, num_neighbors, alpha):
    features, thumbnails = batch(**shape)
    kernel = build_kernel(features, thumbnails, num_neighbors=num_neighbors, alpha=alpha)
    dense = dense_kernel(features, thumbnails, num_neighbors=num_neighbors, alpha=alpha)
    assert kernel.half.dtype == torch.float64
    np.testing.assert_allclose(kernel.to_csr().toarray(), dense.numpy(), atol=1e-12)


def test_float32_equals_the_dense_construction():
    features, thumbnails = batch(3, 6, 6, 16)
    kernel = build_kernel(features.float(), thumbnails.float(), num_neighbors=20, alpha=0.3)
    dense = dense_kernel(features, thumbnails, num_neighbors=20, alpha=0.3)
    assert kernel.half.dtype == torch.float32
    np.testing.assert_allclose(kernel.to_csr().toarray(), dense.numpy(), atol=1e-5)


def test_blocks_do_not_matter(monkeypatch):
    features, thumbnails = batch(2, 6, 6)
    whole = build_kernel(features, thumbnails, num_neighbors=9, alpha=0.3).to_csr()
    monkeypatch.setattr(knn_module, "_BLOCK_ELEMENTS", 300)
    monkeypatch.setattr(pixels_module, "_BLOCK_ELEMENTS", 50)
    blocks = build_kernel(features, thumbnails, num_neighbors=9, alpha=0.3).to_csr()
    np.testing.assert_allclose(blocks.toarray(), whole.toarray(), atol=1e-15)


def test_is_symmetric_with_an_empty_diagonal_and_bounded_spectrum():
    features, thumbnails = batch(2, 5, 5)
    kernel = build_kernel(features, thumbnails, num_neighbors=6, alpha=0.3).to_csr().toarray()
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-15)
    assert not kernel.diagonal().any()
    assert np.abs(np.linalg.eigvalsh(kernel)).max() <= 1.3 + 1e-9  # each part has norm at most 1


def test_the_rows_of_a_worker_are_those_of_the_whole_batch():
    """Its patches are no neighbors of their own, wherever they stand in the batch."""
    features, _ = batch(2, 4, 5)
    keys = knn_module.unit_rows(features)
    columns, values = knn_module.nearest_neighbors(keys, keys, num_neighbors=6, first_row=0)
    part = knn_module.nearest_neighbors(keys[13:29], keys, num_neighbors=6, first_row=13)
    assert torch.equal(part[0].sort(dim=1).values, columns[13:29].sort(dim=1).values)
    torch.testing.assert_close(part[1].sort(dim=1).values, values[13:29].sort(dim=1).values)


def test_padding_leaves_no_trace():
    features, thumbnails = batch(2, 4, 5)
    valid = torch.ones((2, 4, 5), dtype=torch.bool)
    valid[0, 3:] = False
    valid[1, :, 3:] = False
    rows = valid.flatten()
    thumbnails[~valid] = 0.5
    kernel = build_kernel(features[rows], thumbnails, num_neighbors=7, alpha=0.3, valid=valid)
    dense = dense_kernel(features[rows], thumbnails, num_neighbors=7, alpha=0.3, valid=valid)
    assert kernel.num_patches == int(valid.sum())
    np.testing.assert_allclose(kernel.to_csr().toarray(), dense.numpy(), atol=1e-12)


def test_a_zero_feature_and_opposite_features_are_isolated_not_nan():
    features = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.1]])
    thumbnails = torch.rand(1, 2, 2, 3)
    kernel = build_kernel(features, thumbnails, num_neighbors=3, alpha=0.0).to_csr().toarray()
    assert np.isfinite(kernel).all()
    assert not kernel[0].any()
    assert not kernel[2].any()
    assert kernel[1, 3] > 0


def test_one_patch_and_an_image_without_a_valid_patch():
    alone = build_kernel(torch.randn(1, 4), torch.rand(1, 1, 1, 3), num_neighbors=5, alpha=0.3)
    assert alone.to_csr().toarray().tolist() == [[0.0]]
    valid = torch.zeros((2, 2, 2), dtype=torch.bool)
    valid[1] = True
    features = torch.rand(4, 3)
    kernel = build_kernel(features, torch.rand(2, 2, 2, 3), num_neighbors=2, alpha=1, valid=valid)
    assert kernel.num_patches == 4


def test_half_precision_becomes_float32_and_inputs_are_left_alone():
    features, thumbnails = batch(dtype=torch.float32)
    halves = features.half(), thumbnails.half()
    copies = [value.clone() for value in halves]
    kernel = build_kernel(*halves, num_neighbors=4, alpha=0.3)
    assert kernel.half.dtype == torch.float32
    assert all(torch.equal(value, copy) for value, copy in zip(halves, copies, strict=True))


def test_rows_follow_the_patches():
    """Permuting the images permutes κ's blocks of rows and columns."""
    features, thumbnails = batch(3, 3, 4)
    order = [2, 0, 1]
    rows = np.concatenate([np.arange(12) + 12 * image for image in order])
    kernel = build_kernel(features, thumbnails, num_neighbors=6, alpha=0.3).to_csr().toarray()
    permuted = build_kernel(features[rows], thumbnails[order], num_neighbors=6, alpha=0.3)
    np.testing.assert_allclose(permuted.to_csr().toarray(), kernel[np.ix_(rows, rows)], atol=1e-14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_neighbors": 0}, "num_neighbors"),
        ({"alpha": -0.1}, "alpha"),
        ({"pixel_neighbors": ((0, 1.0),)}, "pixel_neighbors"),
        ({"valid": torch.ones(2, 5, 5, dtype=torch.bool)}, "valid"),
        ({"features": torch.zeros(3, 7)}, "rows"),
        ({"features": torch.zeros(60)}, "N, D"),
    ],
)
def test_names_what_is_wrong(change, message):
    features, thumbnails = batch()
    arguments = {"features": features, "thumbnails": thumbnails, "num_neighbors": 4, "alpha": 0.3}
    with pytest.raises(ValueError, match=message):
        build_kernel(**{**arguments, **change})


@pytest.mark.parametrize(
    ("rows", "width", "k"), [(5, 800, 10), (3, 800, 99), (4, 96, 40), (2, 8, 1)]
)
def test_largest_is_topk(rows, width, k):
    values = torch.randn(rows, width, generator=torch.Generator().manual_seed(k))
    values[:, -3:] = -torch.inf  # as where the width is rounded up
    expected = torch.topk(values, k, dim=1)
    found, columns = knn_module.largest(values, k)
    assert torch.equal(values.gather(1, columns), found)
    assert torch.equal(found.sort(dim=1, descending=True).values, expected.values)
    assert torch.equal(columns.sort(dim=1).values, expected.indices.sort(dim=1).values)


@pytest.mark.parametrize("num_patches", [0, 1])
def test_of_no_patch_or_one_the_kernel_is_zero(num_patches):
    valid = torch.zeros((2, 3, 3), dtype=torch.bool)
    valid.view(-1)[:num_patches] = True
    features, thumbnails = torch.rand(num_patches, 5), torch.rand(2, 3, 3, 3)
    kernel = build_kernel(features, thumbnails, num_neighbors=4, alpha=0.3, valid=valid)
    assert (kernel.num_patches, kernel.num_rows) == (num_patches, num_patches)
    assert not kernel.to_csr().toarray().any()
