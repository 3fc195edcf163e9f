"""Patch logits moved to the edges of an image: where the temperature is the image's own gap."""

import numpy as np
import pytest
import torch

from raynef.segment.crf import require_crf
from raynef.segment.patch_map import PatchMap
from raynef.segment.sharpened import gap_of, sharpened_clusters
from raynef.segment.windows import whole_image

SIDE, PATCH, GRID = 48, 8, 6


def scene():
    """Two colors with a slanted edge, and logits of three clusters: of each patch, its shares."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    right = columns + rows // 2 > 0.75 * SIDE
    image = np.where(right[..., None], (200, 60, 40), (30, 90, 180)).astype(np.uint8)
    share = torch.from_numpy(right.reshape(GRID, PATCH, GRID, PATCH).mean(axis=(1, 3))).float()
    logits = torch.stack((1 - share, share, torch.full_like(share, 0.2)), dim=-1)
    noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0))
    return image, right, logits + 0.05 * noise


def sharpened(image, logits, temperature):
    require_crf()
    found = PatchMap(logits, whole_image((SIDE, SIDE)), (GRID, GRID), (PATCH, PATCH))
    return sharpened_clusters(image, found, num_top=3, temperature=temperature)


def test_the_gap_is_the_median_of_the_largest_logit_less_the_second():
    _, _, logits = scene()
    gaps = []
    for patch in logits.flatten(0, 1).tolist():
        *_, second, first = sorted(patch)
        gaps.append(first - second)
    assert gap_of(logits) == pytest.approx(sorted(gaps)[(len(gaps) - 1) // 2], rel=1e-6)
    assert gap_of(1000 * logits) == pytest.approx(1000 * gap_of(logits), rel=1e-5)


@pytest.mark.parametrize("logits", [torch.zeros((6, 6, 1)), torch.ones((6, 6, 4))])
def test_one_cluster_or_equal_ones_have_no_gap(logits):
    assert gap_of(logits) == 1.0


def test_the_scale_of_the_scores_does_not_matter():
    """At 1 the softmax of large scores is sure of every patch, and no pixel goes to its edge."""
    image, right, logits = scene()
    own = sharpened(image, logits, "gap")
    assert np.array_equal(sharpened(image, 1000 * logits, "gap"), own)
    wrong = {
        name: (sharpened(image, 1000 * logits, temperature) != right).mean()
        for name, temperature in (("gap", "gap"), ("one", 1.0))
    }
    assert wrong["gap"] < wrong["one"] / 2
