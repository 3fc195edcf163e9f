"""The CRF against mean-field inference written out on a tiny image, and on synthetic ones."""

import dataclasses
import sys

import numpy as np
import pytest

from raynef.core.errors import UserError
from raynef.segment.crf import Potentials, dense_crf, require_crf

PAPER_2 = Potentials(
    gaussian_sxy=3,
    gaussian_weight=3,
    bilateral_sxy=80,
    bilateral_srgb=13,
    bilateral_weight=10,
    iterations=5,
)


def slow_crf(image, log_probabilities, potentials):
    """Every pixel hears from every other: both kernels as matrices, normalized on both sides."""
    num_labels, height, width = log_probabilities.shape
    y, x = np.mgrid[:height, :width].reshape(2, -1).astype(float)
    place, color = np.stack([x, y], axis=1), image.reshape(-1, 3).astype(float)

    def kernel(features):
        values = np.exp(-((features[:, None] - features[None]) ** 2).sum(-1) / 2)
        scale = 1 / np.sqrt(values.sum(axis=1))
        return scale[:, None] * values * scale

    def softmax(energies):
        values = np.exp(energies - energies.max(axis=0))
        return values / values.sum(axis=0)

    messages = potentials.gaussian_weight * kernel(place / potentials.gaussian_sxy)
    messages += potentials.bilateral_weight * kernel(
        np.concatenate(
            [place / potentials.bilateral_sxy, color / potentials.bilateral_srgb], axis=1
        )
    )
    unary = log_probabilities.reshape(num_labels, -1).astype(float)
    marginals = softmax(unary)
    for _ in range(potentials.iterations):
        marginals = softmax(unary + marginals @ messages)
    return marginals.reshape(num_labels, height, width)


def log_softmax(logits):
    logits = logits - logits.max(axis=0)
    return (logits - np.log(np.exp(logits).sum(axis=0))).astype(np.float32)


def picture(kind, height=6, width=8):
    if kind == "noise":
        return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = np.full((height, width, 3), 60, dtype=np.uint8)
    if kind == "halves":
        image[:, width // 2 :] = 190
    return image


def test_potentials_are_those_of_the_published_evaluation():
    """Of the code of arXiv:2304.02841."""
    gaussian = {"gaussian_sxy": 1, "gaussian_weight": 3}
    bilateral = {"bilateral_sxy": 67, "bilateral_srgb": 3, "bilateral_weight": 4}
    assert dataclasses.asdict(Potentials()) == {**gaussian, **bilateral, "iterations": 10}


@pytest.mark.parametrize("kind", ["noise", "flat", "halves"])
@pytest.mark.parametrize("potentials", [Potentials(), PAPER_2])
@pytest.mark.parametrize("num_labels", [2, 3, 5])
def test_equals_inference_written_out(kind, potentials, num_labels):
    """The package approximates its kernels by a lattice: a pixel in doubt may fall otherwise."""
    draws = np.random.default_rng(num_labels)
    unary = log_softmax(1.5 * draws.normal(size=(num_labels, 6, 8)))
    image = picture(kind)
    fast, slow = dense_crf(image, unary, potentials), slow_crf(image, unary, potentials)
    assert fast.shape == slow.shape
    np.testing.assert_allclose(fast.sum(axis=0), 1, atol=1e-5)
    assert np.abs(fast - slow).mean() < 0.04
    assert (fast.argmax(axis=0) != slow.argmax(axis=0)).mean() < 0.07
    before = np.abs(np.exp(unary) - slow).mean()
    assert np.abs(fast - slow).mean() < 0.2 * before


def test_unary_beyond_normalization():
    """Probabilities of a few of many labels do not sum to 1, and need not."""
    unary = log_softmax(np.random.default_rng(0).normal(size=(4, 6, 8)))
    image = picture("halves")
    np.testing.assert_allclose(
        dense_crf(image, unary), dense_crf(image, unary - np.float32(2.5)), atol=1e-3
    )


def test_a_speck_is_smoothed_away():
    unary = np.full((2, 20, 30), np.log(0.3), np.float32)
    unary[0] = np.log(0.7)
    unary[:, 8:10, 14:16] = unary[::-1, 8:10, 14:16]
    assert (dense_crf(picture("flat", 20, 30), unary).argmax(axis=0) == 0).all()


def test_segments_snap_to_the_edge_of_the_image():
    """Unsure evidence three pixels off the edge moves onto it; in a black image it stays."""
    unary = np.full((2, 24, 32), np.log(0.35), np.float32)
    unary[0, :, :19] = unary[1, :, 19:] = np.log(0.65)
    snapped = dense_crf(picture("halves", 24, 32), unary).argmax(axis=0)
    np.testing.assert_array_equal(snapped, np.broadcast_to(np.arange(32) >= 16, (24, 32)))
    black = dense_crf(np.zeros((24, 32, 3), np.uint8), unary).argmax(axis=0)
    assert (black != snapped).any()


@pytest.mark.parametrize(
    "image",
    [
        picture("halves") / np.float32(255),  # colors in [0, 1]: the published mistake
        picture("halves").astype(np.int32),
        picture("halves")[:5],
        picture("halves")[:, :, :1],
    ],
)
def test_another_image_is_refused(image):
    with pytest.raises(ValueError, match=r"image must be uint8 \[H, W, 3\] = \[6, 8, 3\]"):
        dense_crf(image, np.zeros((2, 6, 8), np.float32))


def test_arguments_are_neither_written_nor_need_to_be():
    image, unary = picture("noise"), log_softmax(np.random.default_rng(0).normal(size=(3, 6, 8)))
    before = image.copy(), unary.copy()
    image.flags.writeable = unary.flags.writeable = False
    dense_crf(image, unary)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(unary, before[1])


def test_one_label_is_everywhere():
    assert (dense_crf(picture("flat"), np.zeros((1, 6, 8), np.float32)) == 1).all()


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(UserError, match=r"pip install 'raynef\[crf\]'"):
        dense_crf(picture("flat"), np.zeros((2, 6, 8), np.float32))
    with pytest.raises(UserError, match=r"a C\+\+ compiler"):
        require_crf()
