"""Backbone outputs that are kept: the same to the last bit, and never in the way."""

import numpy as np
import pytest
import torch

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.models.heads import LinearHead
from raynef.models.segmenter import Segmenter
from raynef.stores.kept import TapCache

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def segmenter():
    config = BackboneConfig()
    backbone = load_backbone(config)
    assert NUM_TAPS == 3
    return Segmenter(backbone, LinearHead(backbone.dim, 4), backbone_config=config, short_side=32)


@pytest.fixture
def counted(segmenter, monkeypatch):
    """How many crops went through the backbone."""
    seen, taps = [], Segmenter.taps

    def counting(self, padded):
        seen.extend(padded)
        return taps(self, padded)

    monkeypatch.setattr(Segmenter, "taps", counting)
    return seen


def crops(count=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 48, 3), dtype=np.uint8)


def test_each_crop_is_computed_once_and_is_the_same(segmenter, counted, tmp_path):
    expected = segmenter.taps(crops())
    counted.clear()
    kept = TapCache(segmenter, tmp_path)
    assert torch.equal(kept(crops()), expected)
    assert torch.equal(TapCache(segmenter, tmp_path)(crops()), expected)
    assert len(counted) == 3
    mixed = np.concatenate([crops(1, seed=1), crops()])
    torch.testing.assert_close(kept(mixed)[1:], expected, rtol=0, atol=0)
    assert len(counted) == 4


def test_without_a_folder_nothing_is_kept(segmenter, counted):
    kept = TapCache(segmenter, None)
    kept(crops())
    kept(crops())
    assert len(counted) == 6


def test_half_a_file_is_computed_again(segmenter, counted, tmp_path):
    expected = TapCache(segmenter, tmp_path)(crops(1))
    (file,) = tmp_path.glob("*/*.npy")
    file.write_bytes(file.read_bytes()[:-100])
    assert torch.equal(TapCache(segmenter, tmp_path)(crops(1)), expected)
    assert len(counted) == 2


def test_there_is_a_bound_and_a_full_disk_is_no_failure(segmenter, tmp_path, monkeypatch, caplog):
    one = segmenter.taps(crops(1)).numel() * 4
    kept = TapCache(segmenter, tmp_path, most_bytes=2 * one + 100)
    kept(crops())
    assert len(list(tmp_path.glob("*/*.npy"))) == 2

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("raynef.stores.kept.write_atomic", full)
    other = TapCache(segmenter, tmp_path / "full")
    assert other(crops()).shape[0] == 3
    assert "No space left" in caplog.text


def test_other_weights_are_kept_apart(segmenter, tmp_path, monkeypatch):
    TapCache(segmenter, tmp_path)(crops(1))
    monkeypatch.setattr(Segmenter, "backbone_weights", lambda _self: "others")
    TapCache(segmenter, tmp_path)(crops(1))
    assert len(list(tmp_path.glob("*/*.npy"))) == 2
