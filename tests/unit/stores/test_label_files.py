"""Photographs as PNGs, by an encoder of our own."""

import io

import numpy as np
import pytest
from PIL import Image

from raynef.stores.label_files import encode_photograph


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1), (61, 83)])
def test_any_reader_finds_the_pixels(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)

    with Image.open(io.BytesIO(encode_photograph(pixels))) as image:
        image.verify()
    with Image.open(io.BytesIO(encode_photograph(pixels))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_a_smooth_picture_takes_a_part_of_its_bytes():
    rows, columns = np.mgrid[:64, :64]
    pixels = np.stack([rows, columns, rows + columns], axis=-1).astype(np.uint8)

    assert len(encode_photograph(pixels)) < pixels.nbytes / 4
