"""``raynef spectral matte`` on a small photograph."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from raynef.cli.main import main
from raynef.config.recipe import Spectral
from raynef.core.errors import UserError
from raynef.jobs.spectral.matte import matte
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def small(recipe):
    return dataclasses.replace(recipe, spectral=Spectral(num_eigenvectors=6))


@pytest.fixture
def photograph(tmp_path):
    """A yellow square on blue, 70×50 pixels: not whole patches."""
    noise = np.random.default_rng(0).integers(0, 12, (50, 70, 3))
    pixels = (np.array([20, 50, 140]) + noise).astype(np.uint8)
    pixels[12:36, 20:52] = [250, 220, 40]
    path = tmp_path / "square.png"
    Image.fromarray(pixels).save(path)
    return path


def test_layers_sum_to_one_at_the_size_of_the_photograph(small, photograph, tmp_path):
    found = matte(photograph, small, tmp_path / "out", num_layers=3)
    layers = [np.asarray(Image.open(path)) for path in found["layers"]]
    assert [layer.shape for layer in layers] == [(50, 70, 4)] * 3
    total = sum(layer[..., 3].astype(int) for layer in layers)
    assert np.abs(total - 255).max() <= 2  # rounding of each to 8 bits
    assert sum(found["shares"]) == pytest.approx(1, abs=1e-5)
    assert found["num_pixels"] == 48 * 64
    assert "layer 2" in (tmp_path / "out" / "matte.html").read_text()
    again = matte(photograph, small, tmp_path / "again", num_layers=3)
    assert again["shares"] == found["shares"]


def test_a_large_photograph_is_resized(small, photograph, tmp_path):
    found = matte(photograph, small, tmp_path / "out", num_layers=2, max_side=40)
    assert found["num_pixels"] == 16 * 32
    assert np.asarray(Image.open(found["layers"][0])).shape == (50, 70, 4)


def test_mistakes_are_named(small, photograph, tmp_path, capsys):
    with pytest.raises(UserError, match="num_layers must be >= 2, got 1"):
        matte(photograph, small, tmp_path / "out", num_layers=1)
    with pytest.raises(UserError, match="max_side must be >= 16, got 8"):
        matte(photograph, small, tmp_path / "out", max_side=8)
    unread = change(small, backbone={"weights": "/nowhere"})  # nothing is fetched in vain
    with pytest.raises(UserError, match=r"nothing\.png: cannot be read"):
        matte(tmp_path / "nothing.png", unread, tmp_path / "out")


def test_the_command(small, photograph, tmp_path, capsys):
    backbone = small.backbone
    line = ["spectral", "matte", str(photograph), "--out", str(tmp_path / "out")]
    flags = ["--backbone.name", backbone.name, "--backbone.weights", str(backbone.weights)]
    with pytest.raises(SystemExit) as stopped:
        main([*line, *flags, "--num-layers", "2", "--spectral.num-eigenvectors", "4"])
    assert stopped.value.code == 0
    assert len(json.loads(capsys.readouterr().out)["layers"]) == 2
