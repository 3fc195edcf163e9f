"""HEIC: decoded as a viewer would show it, and named where it cannot be."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from raynef.core.errors import BadImageError
from raynef.images import heif
from raynef.images.datasets.folder import open_folder
from raynef.images.decode import decode_image, read_image, stored_in
from tests.unit.images.test_decode import JPEG, smooth

pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif, of the extra heic")


def encoded(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=95, **options)
    return buffer.getvalue()


HEIC = encoded(smooth())


@pytest.fixture
def without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heif._registered.cache_clear()
    yield
    heif._registered.cache_clear()


def test_it_is_decoded():
    pixels = decode_image(HEIC)
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels.astype(int) - np.asarray(smooth())).mean() < 4
    assert stored_in(HEIC).size == (48, 64)
    assert not heif.is_heif(JPEG)


def test_a_damaged_one_is_a_bad_image():
    draws = np.random.default_rng(0)
    for end in (20, 100, len(HEIC) // 2):
        with pytest.raises(BadImageError, match=r"damaged|not an image"):
            decode_image(HEIC[:end])
    for _ in range(40):  # wherever a byte is wrong, it is an image or a bad one
        wrong = bytearray(HEIC)
        wrong[draws.integers(12, len(HEIC))] ^= 1 << draws.integers(0, 8)
        try:
            assert decode_image(bytes(wrong)).ndim == 3
        except BadImageError:
            continue


def test_without_the_extra_it_is_found_and_named(tmp_path, without_the_extra):
    (tmp_path / "phone.HEIC").write_bytes(HEIC)
    (tmp_path / "other.jpg").write_bytes(JPEG)
    files = open_folder(tmp_path, None).files
    assert [file.name for file in files] == ["other.jpg", "phone.HEIC"]
    for read in (read_image, lambda path: stored_in(HEIC)):
        with pytest.raises(BadImageError, match=r"pip install 'raynef\[heic\]'"):
            read(files[1].path)


def test_jpegs_need_no_extra(without_the_extra):
    assert decode_image(JPEG).shape == (48, 64, 3)
