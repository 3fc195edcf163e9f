"""W of Deep Spectral Methods: every form of it is the dense matrix of Eq. 3."""

import colorsys
import math

import numpy as np
import pytest
import torch

from raynef.core.affinity import stacked
from raynef.graph.affinity import assembled, upsampled
from raynef.graph.colors import color_affinity


def drawn(seed=0, grid=(5, 6), dim=8, shift=0.0):
    generator = np.random.default_rng(seed)
    features = torch.from_numpy(generator.normal(shift, 1, (*grid, dim))).float()
    return features, generator.random((2 * grid[0], 2 * grid[1], 3))


def twin(features, image, color_weight):
    """Eqs. 1 to 3 written out, pair by pair for the colors."""
    rows = upsampled(features, image.shape[:2]).double()
    total = (rows @ rows.T).clamp_min(0).numpy()
    return total + color_weight * slow_colors(image)


def slow_colors(image, neighbors=((20, 2.0), (10, 0.1))):
    height, width, _ = image.shape
    points = []
    for i in range(height):
        for j in range(width):
            h, s, v = colorsys.rgb_to_hsv(*image[i, j])
            color = [math.cos(2 * math.pi * h), math.sin(2 * math.pi * h), s, v]
            points.append((color, [j / (width - 1), i / (height - 1)]))
    size = len(points)
    total = np.zeros((size, size))
    for k, weight in neighbors:
        for u in range(size):
            distances = [
                math.dist(
                    points[u][0] + [weight * x for x in points[u][1]],
                    points[v][0] + [weight * x for x in points[v][1]],
                )
                for v in range(size)
            ]
            others = sorted((d, v) for v, d in enumerate(distances) if v != u)[:k]
            for distance, v in others:
                total[u, v] += max(0, 1 - distance)
    return (total + total.T) / 2


@pytest.mark.parametrize("shift", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("form", ["factored", "dense", "auto"])
@pytest.mark.parametrize("color_weight", [0.0, 10.0])
def test_every_form_is_the_dense_matrix(form, shift, color_weight):
    features, image = drawn(shift=shift)
    affinity = assembled(features, image, color_weight=color_weight, form=form).on()
    expected = twin(features, image, color_weight)
    np.testing.assert_allclose(affinity.to_dense()[0].numpy(), expected, atol=2e-6)
    np.testing.assert_allclose(affinity.degrees()[0].numpy(), expected.sum(axis=1), rtol=1e-6)
    vectors = torch.randn(1, len(expected), 3, dtype=torch.float64)
    product = affinity.matmul(vectors)[0]
    np.testing.assert_allclose(product.numpy(), expected @ vectors[0].numpy(), atol=1e-4)


def test_auto_holds_no_dense_matrix_where_few_cosines_are_below_zero():
    features, image = drawn(grid=(12, 12), shift=2.0)
    assert assembled(features, image, color_weight=0).on().dense is None
    mixed, image = drawn(grid=(12, 12), shift=0.0)
    assert assembled(mixed, image, color_weight=0).on().factor is None


def test_colors_alone():
    features, image = drawn()
    alone = assembled(None, image, color_weight=1).on().to_dense()[0]
    infinite = assembled(features, image, color_weight=math.inf).on().to_dense()[0]
    np.testing.assert_allclose(alone, slow_colors(image), atol=1e-12)
    np.testing.assert_array_equal(alone, infinite)


def test_the_color_graph_of_a_flat_image_has_no_self_edges():
    flat = color_affinity(np.full((6, 7, 3), 0.5))
    assert flat.diagonal().max() == 0
    assert (flat != flat.T).nnz == 0
    assert np.asarray(flat.sum(axis=1)).min() > 0
    one = color_affinity(np.zeros((1, 1, 3)))
    assert one.shape == (1, 1)
    assert one.nnz == 0


def test_hue_is_an_angle():
    nearly = np.array([[[1, 0, 0.01], [1, 0.01, 0], [0, 1, 1]]])
    graph = color_affinity(nearly, neighbors=((1, 0.0),)).toarray()
    assert graph[0, 1] > 0.9  # hues just below and above 0


def test_several_images_are_worked_on_together():
    parts = [assembled(*drawn(seed=s, shift=2.0), color_weight=10).on() for s in range(3)]
    together = stacked(parts)
    vectors = torch.randn(3, together.num_nodes, 4, dtype=torch.float64)
    expected = torch.cat([a.matmul(v[None]) for a, v in zip(parts, vectors, strict=True)])
    torch.testing.assert_close(together.matmul(vectors), expected)
    torch.testing.assert_close(together.to_dense()[1], parts[1].to_dense()[0])


def test_what_does_not_fit_is_refused():
    features, image = drawn()
    with pytest.raises(ValueError, match="color_weight must be >= 0, got -1"):
        assembled(features, image, color_weight=-1)
    with pytest.raises(ValueError, match="needs features"):
        assembled(None, image, color_weight=0)
    small = assembled(*drawn(grid=(3, 3)), color_weight=0).on()
    with pytest.raises(ValueError, match="one size"):
        stacked([small, assembled(features, image, color_weight=0).on()])
