"""Whole images cut to whole patches, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynef.core.errors import BadImageError
from raynef.images.fitted import Frame, fit, frame_of, to_image_box, to_whole_image


def test_right_and_bottom_are_cut():
    image = np.arange(37 * 50 * 3, dtype=np.uint8).reshape(37, 50, 3)
    pixels, frame = fit(image, stride=16, max_side=1024)
    np.testing.assert_array_equal(pixels, image[:32, :48])
    assert frame == Frame((37, 50), (37, 50), (32, 48))


def test_a_large_image_is_resized_and_a_tiny_one_too():
    assert frame_of((3000, 4000), stride=16, max_side=1024) == Frame(
        (3000, 4000), (768, 1024), (768, 1024)
    )
    assert frame_of((1, 1), stride=16, max_side=1024).cut == (16, 16)
    with pytest.raises(BadImageError, match="5000x1 pixels: too narrow for patches of 16"):
        frame_of((1, 5000), stride=16, max_side=1024)


@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from([8, 14, 16, 32]))
def test_any_size_holds_whole_patches(height, width, stride):
    try:
        frame = frame_of((height, width), stride=stride, max_side=512)
    except BadImageError:
        assert max(height, width) > 512 / stride * min(height, width) * 0.9
        return
    assert min(frame.cut) >= stride
    assert max(frame.cut) <= 512
    assert frame.cut[0] % stride == frame.cut[1] % stride == 0
    whole = to_whole_image(np.arange(6).reshape(2, 3), frame)
    assert whole.shape == (height, width)


def test_a_map_comes_back_at_the_size_of_the_image():
    frame = frame_of((37, 50), stride=16, max_side=1024)
    whole = to_whole_image(np.arange(6).reshape(2, 3), frame)
    assert whole[0, 0] == 0
    assert whole[15, 15] == 0
    assert whole[16, 16] == 4
    assert whole[36, 49] == 5  # cut off: the edge is repeated
    assert (whole[:, 48:] == whole[:, 47:48]).all()


def test_a_box_in_pixels_of_the_image():
    frame = frame_of((64, 96), stride=16, max_side=1024)
    assert to_image_box((1, 2, 3, 4), (8, 12), frame) == (8, 16, 24, 32)
    cut = frame_of((70, 100), stride=16, max_side=1024)  # to 64x96: the rest is in no box
    assert to_image_box((0, 0, 12, 8), (8, 12), cut) == (0, 0, 96, 64)
    halved = frame_of((128, 192), stride=16, max_side=96)
    assert to_image_box((1, 2, 3, 4), (8, 12), halved) == (16, 32, 48, 64)
