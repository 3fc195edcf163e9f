"""Teachers: patches in the context of their image, and soft clusters against a plain twin."""

import numpy as np
import pytest
import torch

from raynef.assign.context import in_context
from raynef.assign.kmeans import nearest_centroids
from raynef.assign.teachers import Teachers, find_teachers
from raynef.core.errors import UserError


def patches(images=3, length=8, dim=5, seed=0):
    draws = torch.Generator().manual_seed(seed)
    valid = torch.ones((images, length), dtype=torch.bool)
    valid[0, 5:] = False
    return torch.randn((images, length, dim), generator=draws), valid


def test_context_is_the_mean_of_the_image_without_its_padding():
    features, valid = patches()
    found = in_context(features, valid, 0.5).numpy()
    for image, (rows, real) in enumerate(zip(features.numpy(), valid.numpy(), strict=True)):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        mean = unit[real].mean(axis=0)
        mean *= 0.5 / np.linalg.norm(mean)
        np.testing.assert_allclose(found[image, :, :5], unit, atol=1e-6)
        np.testing.assert_allclose(found[image, :, 5:], np.tile(mean, (8, 1)), atol=1e-6)
    assert torch.equal(
        in_context(features[1:], None, 0.5), in_context(features[1:], valid[1:], 0.5)
    )


def test_soft_clusters_are_a_softmax_over_squared_distances():
    features, valid = patches()
    centers = torch.randn((2, 4, 10), generator=torch.Generator().manual_seed(1))
    found = Teachers(centers, (0.2, 0.7), temperature=0.5).soft_clusters(features, valid)
    assert found.shape == (3, 8, 2, 4)
    for teacher, weight in enumerate((0.2, 0.7)):
        points = in_context(features, valid, weight).double()
        distances = (points[:, :, None] - centers[teacher].double()).square().sum(dim=-1)
        twin = torch.softmax(-distances / 0.5, dim=-1)
        np.testing.assert_allclose(found[:, :, teacher].numpy(), twin.numpy(), atol=1e-5)


def test_every_teacher_sees_its_own_weight_and_starts_elsewhere():
    draws = np.random.default_rng(0)
    # Eight patches of two scenes: what tells them apart is the scene alone.
    rows = np.repeat(np.eye(4, dtype=np.float32)[:2], 40, axis=0)
    scene = np.eye(4, dtype=np.float32)[draws.integers(2, 4, 80)]
    points = np.concatenate([rows, scene], axis=1)
    centers = find_teachers(points, (0.0, 2.0, 0.0), 2, iterations=10, seed=3)
    assert centers.shape == (3, 2, 8)
    by_patch, by_scene = (
        nearest_centroids(points * np.repeat([1.0, weight], 4), centers[place])
        for place, weight in enumerate((0.0, 2.0))
    )
    assert (by_patch == by_patch[0]).tolist() == [True] * 40 + [False] * 40
    assert ((by_scene == by_scene[0]) == (scene[:, 2] == scene[0, 2])).all()
    assert np.array_equal(centers, find_teachers(points, (0.0, 2.0, 0.0), 2, iterations=10, seed=3))
    noise = draws.normal(size=(200, 8)).astype(np.float32)
    first, second = find_teachers(noise, (0.3, 0.3), 8, iterations=2, seed=0)
    assert not np.allclose(np.sort(first, axis=0), np.sort(second, axis=0))


def test_fewer_patches_than_clusters_are_said():
    with pytest.raises(UserError, match="9 clusters in 8 patches"):
        find_teachers(np.ones((8, 4), np.float32), (0.3,), 9, iterations=2, seed=0)
