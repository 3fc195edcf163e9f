"""Which patches K-means and the probe see of a unit: the work of tasks, without Ray."""

import numpy as np
import torch

from raynef.features.extract import Features
from raynef.work.patches import Patches, draw, sum_up
from raynef.work.units import ImageUnit

NOTHING = Features(torch.zeros(0), torch.zeros(0), torch.zeros(0))


def test_a_sample_has_its_share_of_each_image_and_view_and_no_padding():
    images, patches = [3, 8, 21], 4000
    rows = torch.arange(len(images) * patches, dtype=torch.float32).view(len(images), patches, 1)
    valid = torch.ones((len(images), patches), dtype=torch.bool)
    valid[1, 1000:] = False

    def drawn(view, seed=0):
        """Positions within their image, image by image."""
        patches = Patches(ImageUnit(images, view=view), NOTHING)
        found = draw(rows % 1000, valid, patches, seed=seed, share=0.25)
        numbers = draw(rows, valid, patches, seed=seed, share=1.0).numbers
        assert (np.sort(numbers[numbers < 0.25]) == np.sort(found.numbers)).all()
        assert found.rows.dtype == np.float16
        parts = np.split(numbers < 0.25, np.cumsum(valid.sum(dim=1).numpy())[:-1])
        assert sum(part.sum() for part in parts) == len(found.rows)
        return parts

    first = drawn(0)
    for part, size in zip(first, (4000, 1000, 4000), strict=True):
        assert abs(part.mean() - 0.25) < 4 * (0.25 * 0.75 / size) ** 0.5
    other_view, other_seed = drawn(1), drawn(0, seed=1)
    pairs = [
        (first[0], first[2]), *zip(first, other_view, strict=True),
        *zip(first, other_seed, strict=True),
    ]  # fmt: skip
    for one, other in pairs:  # independent draws have 1/16 in common, equal ones 1/4
        assert (one & other).mean() < 0.12
    assert all((a == b).all() for a, b in zip(first, drawn(0), strict=True))


def test_sums_are_of_valid_patches_alone():
    rows = torch.tensor([[[0.0], [1.0], [9.0], [50.0]]])
    valid = torch.tensor([[True, True, True, False]])
    centroids, patches = np.array([[0.0], [10.0]]), Patches(ImageUnit([0]), NOTHING)
    found = sum_up(rows, valid, patches, centroids=centroids).members
    assert found.counts.tolist() == [2, 1]
    assert found.sums.tolist() == [[1.0], [9.0]]
