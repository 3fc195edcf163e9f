"""Probabilities of the top clusters against softmax over all upsampled maps."""

import numpy as np
import pytest
import torch

from raynef.segment import probabilities as probabilities_module
from raynef.segment.crf import dense_crf
from raynef.segment.probabilities import top_probabilities
from raynef.segment.upsample import upsample_argmax
from raynef.segment.windows import sliding_windows, whole_image

pytestmark = pytest.mark.usefixtures("one_thread")


def an_image(num_clusters=9, size=(20, 28)):
    generator = torch.Generator().manual_seed(num_clusters)
    logits = 2 * torch.randn((3, 4, num_clusters), generator=generator)
    rows, columns = whole_image(size).matrices((3, 4), size, cell=(8, 8))
    return logits, rows, columns


def slow_log_probabilities(logits, rows, columns, temperature=1.0):
    maps = torch.einsum("yh,xw,hwk->kyx", rows.double(), columns.double(), logits.double())
    return (maps / temperature).log_softmax(dim=0)


@pytest.mark.parametrize("num_top", [1, 4, 9, 32])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_equals_softmax_over_all_clusters(num_top, temperature):
    logits, rows, columns = an_image()
    clusters, found = top_probabilities(
        logits, rows, columns, num_top=num_top, temperature=temperature
    )
    expected = slow_log_probabilities(logits, rows, columns, temperature)
    best = expected.exp().mean(dim=(1, 2)).topk(min(num_top, 9)).indices
    assert clusters.tolist() == sorted(best.tolist())
    torch.testing.assert_close(found.double(), expected[clusters], atol=1e-4, rtol=0)


def test_of_sliding_windows():
    windows = sliding_windows((30, 44), window=20, stride=16)
    generator = torch.Generator().manual_seed(0)
    logits = windows.join(torch.randn((6, 3, 3, 5), generator=generator))
    rows, columns = windows.matrices((3, 3), (45, 66), cell=(8, 8))
    clusters, found = top_probabilities(logits, rows, columns, num_top=5)
    assert clusters.tolist() == [0, 1, 2, 3, 4]
    expected = slow_log_probabilities(logits, rows, columns)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)
    maps = upsample_argmax(logits[None], rows, columns)[0]
    assert (found.argmax(dim=0) == maps).float().mean() > 0.999


@pytest.mark.parametrize("elements", [1, 700])
def test_bands_do_not_matter(monkeypatch, elements):
    whole = top_probabilities(*an_image(), num_top=4)
    monkeypatch.setattr(probabilities_module, "_BAND_ELEMENTS", elements)
    banded = top_probabilities(*an_image(), num_top=4)
    assert torch.equal(whole[0], banded[0])
    torch.testing.assert_close(whole[1], banded[1])


def test_the_logits_are_not_touched():
    logits, rows, columns = an_image()
    before = logits.clone()
    top_probabilities(logits, rows, columns, num_top=3, temperature=0.3)
    assert torch.equal(logits, before)


def test_a_crf_on_all_top_clusters_is_the_crf_on_all():
    logits, rows, columns = an_image(num_clusters=7)
    image = np.random.default_rng(0).integers(0, 256, (20, 28, 3), dtype=np.uint8)
    everything = slow_log_probabilities(logits, rows, columns).float().numpy()
    clusters, top = top_probabilities(logits, rows, columns, num_top=50)
    np.testing.assert_array_equal(
        clusters.numpy()[dense_crf(image, top.numpy()).argmax(axis=0)],
        dense_crf(image, everything).argmax(axis=0),
    )
