"""The sampled W: its entries are those of the dense matrix, drawn in pairs."""

import numpy as np
import pytest
import torch

from raynef.graph import sampled
from raynef.graph.affinity import assembled, upsampled
from raynef.graph.colors import color_affinity
from raynef.graph.sampled import sampled_affinity


def drawn(grid=(5, 6), size=(20, 23), dim=8, shift=0.5, seed=0):
    generator = np.random.default_rng(seed)
    features = torch.from_numpy(generator.normal(shift, 1, (*grid, dim))).float()
    return features, generator.random((*size, 3))


def dense(affinity):
    return affinity.to_dense()[0].numpy()


@pytest.mark.parametrize("size", [(5, 6), (20, 23), (4, 5), (1, 7)])
@pytest.mark.parametrize("color_weight", [0.0, 10.0])
def test_all_entries_are_the_dense_matrix(size, color_weight):
    features, image = drawn(size=size)
    ours = sampled_affinity(features, image, color_weight=color_weight, fraction=1)
    twin = assembled(features, image, color_weight=color_weight, form="dense").on()
    assert ours.sparse.dtype == torch.float32
    np.testing.assert_allclose(dense(ours), dense(twin), atol=5e-6)


def test_drawn_entries_are_those_of_the_dense_matrix():
    features, image = drawn()
    kept = dense(sampled_affinity(features, image, color_weight=0, fraction=0.1))
    rows = upsampled(features, image.shape[:2])
    twin = (rows @ rows.T).clamp_min(0).numpy()
    np.testing.assert_array_equal(kept, kept.T)
    np.testing.assert_allclose(kept[kept > 0], twin[kept > 0], atol=1e-6)
    share = (kept > 0).sum() / (twin > 0).sum()
    assert share == pytest.approx(0.1, rel=0.05)  # three deviations of 105,000 pairs are 0.03
    on_diagonal = (np.diag(kept) > 0).mean()
    assert on_diagonal == pytest.approx(0.1, abs=0.05)


def test_one_entry_of_256_is_kept_for_matting():
    """1/16², of a quarter of the pairs' standard deviation at 1,600 pixels."""
    features, image = drawn(size=(40, 40), shift=2.0)
    kept = sampled_affinity(features, image, color_weight=0).sparse.values().numel()
    assert kept == pytest.approx(1600**2 / 256, rel=0.05)


def test_colors_come_whole():
    features, image = drawn()
    ours = dense(sampled_affinity(features, image, color_weight=10, fraction=1e-9))
    np.testing.assert_allclose(ours, 10 * color_affinity(image).toarray(), atol=1e-5)
    threaded = dense(sampled_affinity(features, image, color_weight=10, fraction=1e-9, workers=2))
    np.testing.assert_array_equal(ours, threaded)


def test_the_seed_alone_decides_what_is_drawn(monkeypatch):
    features, image = drawn()

    def made(seed):
        return dense(sampled_affinity(features, image, color_weight=1, fraction=0.05, seed=seed))

    first = made(0)
    np.testing.assert_array_equal(first, made(0))
    assert ((first > 0) != (made(1) > 0)).any()
    monkeypatch.setattr(sampled, "_BLOCK_ELEMENTS", 1000)
    np.testing.assert_allclose(first, made(0), atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 301])
@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
def test_every_pair_is_as_likely(size, rows_at_once):
    everything = list(sampled._drawn_pairs(size, 1, 0, rows_at_once))
    columns = np.concatenate([part for _, _, part in everything])
    assert [int(n) for _, counts, _ in everything for n in counts] == list(range(size, 0, -1))
    assert columns.tolist() == [v for u in range(size) for v in range(u, size)]
    some = list(sampled._drawn_pairs(size, 0.3, 0, rows_at_once))
    for start, counts, part in some:
        rows = np.repeat(np.arange(start, start + len(counts)), counts)
        assert (part >= rows).all()
        assert (part < size).all()
    if size > 2:
        total = sum(len(part) for _, _, part in some)
        assert total == pytest.approx(0.3 * size * (size + 1) / 2, rel=0.02)


def test_zero_features_and_one_pixel():
    features, image = drawn()
    nothing = sampled_affinity(torch.zeros_like(features), image, color_weight=0, fraction=0.5)
    assert dense(nothing).max() == 0
    one = sampled_affinity(torch.ones(1, 1, 3), np.zeros((1, 1, 3)), color_weight=10, fraction=1)
    np.testing.assert_allclose(dense(one), [[1.0]], rtol=1e-6)


def test_what_cannot_be_is_refused():
    features, image = drawn()
    with pytest.raises(ValueError, match="fraction must be above 0 and at most 1, got 0"):
        sampled_affinity(features, image, color_weight=1, fraction=0)
    with pytest.raises(ValueError, match="color_weight must be >= 0 and finite, got inf"):
        sampled_affinity(features, image, color_weight=float("inf"))
    large = np.broadcast_to(np.zeros(3), (1000, 1000, 3))
    with pytest.raises(ValueError, match=r"1000x1000 pixels.*resize the image"):
        sampled_affinity(features, large, color_weight=1)
