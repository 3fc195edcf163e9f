"""Soft assignments and eigenfunctions: what a segmentation says beyond its largest output."""

import numpy as np
import pytest
import torch

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import UserError
from raynef.eigen.psi import AttentionPsi
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.models.segmenter import Mapping, Segmentation, Segmenter
from raynef.models.soft import Scores, SoftMaps
from raynef.segment.patch_map import PatchMap
from raynef.segment.windows import sliding_windows

pytestmark = pytest.mark.usefixtures("one_thread")
K, TAU = 6, 0.3
SIZE = (70, 90)


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(BackboneConfig())


@pytest.fixture
def make(backbone):
    def made(*, input_size: int | None = None, **options) -> Segmenter:
        psi = AttentionPsi(NUM_TAPS * backbone.dim, K, num_blocks=1, seed=0)
        config = BackboneConfig(input_size=input_size)
        return Segmenter(backbone, psi, backbone_config=config, short_side=48, **options)

    return made


def picture(size=SIZE) -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.kron(small, np.ones((20, 20, 1), dtype=np.uint8))[: size[0], : size[1]]


@pytest.mark.parametrize("input_size", [None, 64])
def test_the_most_probable_cluster_is_the_cluster(make, input_size):
    found = make(input_size=input_size, tau=TAU)(picture())
    soft = found.soft(*range(K))
    assert soft.values.shape == (K, *SIZE)
    np.testing.assert_allclose(soft.values.sum(axis=0), 1, atol=1e-5)
    assert (soft.values.argmax(axis=0) == found.clusters).mean() > 0.999
    occurring = found.soft()
    assert set(occurring.names) == set(found.masks())
    for name in occurring.names:
        np.testing.assert_array_equal(occurring[name], soft[name])


def test_a_class_has_the_sum_of_its_clusters(make):
    plain, named = make()(picture()), make(mapping=Mapping((0, 1, 0, -1, 1, 1), ("sky", "road")))
    clusters, classes = plain.soft(*range(K)).values, named(picture()).soft("road", "sky")
    assert classes.names == ("road", "sky")
    np.testing.assert_allclose(classes["sky"], clusters[[0, 2]].sum(axis=0), atol=1e-5)
    np.testing.assert_allclose(classes["road"], clusters[[1, 4, 5]].sum(axis=0), atol=1e-5)
    with pytest.raises(UserError, match=r"no segment 'cow'; there are 'sky', 'road'"):
        named(picture()).soft("cow")


def test_temperature_and_size(make):
    found = make(tau=TAU)(picture())
    sharp, soft = (found.soft(0, 1, size=(7, 9), temperature=t).values for t in (0.05, 5.0))
    assert sharp.shape == (2, 7, 9)
    assert np.abs(sharp - 1 / K).mean() > np.abs(soft - 1 / K).mean()
    default, own = found.soft(0), found.soft(0, temperature=TAU)
    np.testing.assert_array_equal(default.values, own.values)


def test_eigenfunctions_are_the_softmax_of_psi(make):
    segmenter = make(tau=TAU)
    found = segmenter(picture())
    logits = segmenter.patch_logits(segmenter.seen(picture())[None])[0]
    expected = (logits / TAU).softmax(dim=-1).permute(2, 0, 1).numpy()
    maps = found.eigenfunctions
    assert maps.names == tuple(range(K))
    np.testing.assert_allclose(maps.values, expected, atol=1e-6)
    np.testing.assert_allclose(found.scores(), logits.permute(2, 0, 1).numpy(), atol=1e-5)


def test_windows_that_overlap_are_averaged(make):
    found = make(input_size=64)(picture())
    assert found.scores().shape == (K, 4, round(4 * SIZE[1] / SIZE[0]))
    windows = sliding_windows((48, 72), window=48, stride=24)  # of 4×4 patches, half of each shared
    logits = windows.join(torch.stack([torch.zeros(4, 4, 1), torch.ones(4, 4, 1)]))
    scores = Scores(PatchMap(logits, windows, (4, 4), (12.0, 12.0)), None, None).at_patches()
    expected = np.tile([0, 0, 0.5, 0.5, 1, 1], (4, 1))
    np.testing.assert_allclose(scores[0].numpy(), expected, atol=1e-6)


def test_eigenfunctions_come_back_with_the_segmenter(make, tmp_path):
    again = Segmenter.load(make(tau=TAU).save(tmp_path / "paper"))
    assert again(picture()).eigenfunctions.values.shape[0] == K
    other = Segmenter.load(make().save(tmp_path / "other"))(picture())
    with pytest.raises(UserError, match=r"not eigenfunctions.*scores\(\)"):
        _ = other.eigenfunctions


def test_bare_maps_have_no_outputs():
    bare = Segmentation(np.zeros((2, 2), dtype=np.uint16))
    for ask in (bare.soft, bare.scores):
        with pytest.raises(UserError, match="were not kept"):
            ask()


def test_a_strip_shows_the_largest_maps():
    values = np.zeros((3, 4, 8), dtype=np.float32)
    values[2], values[0, :, :4] = 1, 1
    maps = SoftMaps(values, ("a", "b", "c"))
    strip = maps.strip(2).astype(int)
    half = strip.shape[1] // 2
    tile = strip[:100]
    assert tile[:, : half - 6].std() == pytest.approx(tile[0, 0].std())  # "c": 1 everywhere
    assert tile[50, half + 20].sum() < tile[50, -20].sum()  # "a": 1 on its left
    assert maps.strip(1).shape[1] < strip.shape[1]
    assert len(maps) == 3
    assert maps._repr_png_().startswith(b"\x89PNG")
