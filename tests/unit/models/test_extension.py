"""Nyström's extension: what it gives at nodes, beside them, and against a plain twin."""

import numpy as np
import pytest
import torch

from raynef.assign.context import in_context
from raynef.eigen.spectrum import smallest_eigenpairs
from raynef.graph.knn import unit_rows
from raynef.graph.whole import whole_affinity
from raynef.models.extension import Extension


def nodes(count=60, dim=8, seed=0):
    return unit_rows(torch.rand((count, dim), generator=torch.Generator().manual_seed(seed)))


def test_with_every_node_a_landmark_it_gives_the_eigenvectors_back():
    """Of a graph of all pairs, but for the entry that joins a node to itself."""
    rows = nodes()
    pairs = smallest_eigenpairs(whole_affinity(rows, 59), 4)
    vectors = pairs.vectors[0].float()
    similarity = (rows @ rows.T).fill_diagonal_(0)
    walked = similarity @ vectors / similarity.sum(dim=1, keepdim=True)
    assert torch.allclose(walked, vectors * (1 - pairs.values[0]).float(), atol=1e-4)
    # The extension counts that entry too: it is 1.
    found = Extension(rows, vectors, num_neighbors=60).embed(rows)
    own = walked * similarity.sum(dim=1, keepdim=True) + vectors
    assert torch.allclose(found, unit_rows(own), atol=1e-4)


@pytest.mark.parametrize("count", [16, 21])
def test_it_is_the_mean_of_the_nearest_landmarks_by_similarity(count):
    landmarks, points = nodes(count, seed=1), 3 * nodes(7, seed=2)
    values = torch.randn(count, 3, generator=torch.Generator().manual_seed(3))
    found = Extension(landmarks, values, num_neighbors=5).embed(points).numpy()
    for row, point in zip(found, points.numpy(), strict=True):
        similarity = landmarks.numpy() @ (point / np.linalg.norm(point))
        nearest = np.argsort(-similarity)[:5]
        mean = np.maximum(similarity[nearest], 0) @ values.numpy()[nearest]
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)


def test_a_patch_like_no_landmark_is_at_zero():
    extension = Extension(torch.eye(3)[:2], torch.ones(2, 2), num_neighbors=2)
    assert not extension.embed(torch.eye(3)[2:]).any()


def test_the_last_tap_alone_counts_and_in_context_its_image():
    taps = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(2))
    valid = torch.ones((2, 6), dtype=torch.bool)
    valid[1, 4:] = False
    landmarks, values = nodes(10, 16), nodes(10, 4)
    extension = Extension(landmarks, values, num_neighbors=3, context=0.4)
    found = extension.features(taps, valid)
    points = in_context(taps[:, -1], valid, 0.4)
    assert torch.allclose(found[1], extension.embed(points[1]))
    taps[:, :-1] = torch.nan
    assert torch.equal(extension.features(taps, valid), found)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(extension.features(taps, valid), found)
