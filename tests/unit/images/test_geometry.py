"""Sizes, resizing and cropping against Pillow and slow twins."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from raynef.core.errors import UserError
from raynef.images.geometry import (
    center_crop,
    for_scoring,
    pad_to,
    resize,
    resize_label,
    resized_part,
    short_side_size,
    whole_patches,
)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "short_side", "expected"),
    [
        ((480, 640, 3), 320, (320, 427)),
        ((640, 480), 320, (427, 320)),
        ((320, 320), 320, (320, 320)),
        ((1, 1), 320, (320, 320)),
        ((100, 100_000), 10, (1, 160)),  # a strip: the long side is bounded
        ((3, 2), 1, (2, 1)),
        ((213, 320, 3), 213, (213, 320)),
    ],
)
def test_short_side_size(shape, short_side, expected):
    assert short_side_size(shape, short_side) == expected


@pytest.mark.parametrize(
    ("shape", "short_side", "expected"),
    [
        ((375, 500, 3), 320, (320, 426)),  # 426.67
        ((500, 375, 3), 320, (426, 320)),
        ((480, 640), 320, (320, 426)),
        ((240, 320), 320, (320, 426)),
        ((213, 320), 320, (320, 480)),  # 480.75
        ((320, 320), 320, (320, 320)),
        ((100, 100_000), 10, (1, 160)),
    ],
)
def test_the_long_side_truncated(shape, short_side, expected):
    """As torchvision's Resize, on which ReCo's protocol rests."""
    assert short_side_size(shape, short_side, truncated=True) == expected


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 600))
def test_truncated_is_torchvisions(height, width, short_side):
    from torchvision.transforms.functional import _compute_resized_output_size

    assume(max(height, width) <= 16 * min(height, width))
    expected = _compute_resized_output_size((height, width), size=[short_side])
    assert short_side_size((height, width), short_side, truncated=True) == tuple(expected)


def test_only_a_crop_of_recos_protocol_truncates():
    """A column of the label tells how wide the resized image was."""
    image = noise(375, 500)
    label = np.broadcast_to(np.arange(500), (375, 500)).astype(np.int32)
    scored, labels = for_scoring(image, label, short_side=320, crop=1000, name="x")
    assert (scored.shape, labels.shape) == ((320, 426, 3), (320, 426))
    scored, labels = for_scoring(image, label, short_side=320, crop=None, name="x")
    assert (scored.shape, labels.shape) == ((320, 427, 3), (375, 500))


@given(st.integers(200, 3000), st.integers(200, 3000), st.integers(1, 600))
def test_short_side_size_keeps_side_and_aspect(height, width, short_side):
    size = short_side_size((height, width), short_side)
    assert min(size) == short_side
    assert abs(size[0] - height * short_side / min(height, width)) <= 0.5
    assert abs(size[1] - width * short_side / min(height, width)) <= 0.5


@given(st.integers(1, 100_000), st.integers(1, 100_000), st.integers(1, 600))
def test_short_side_size_is_bounded_for_any_strip(height, width, short_side):
    size = short_side_size((height, width), short_side)
    assert 1 <= min(size) <= short_side
    assert max(size) <= 16 * short_side


@pytest.mark.parametrize("size", [(40, 60), (7, 90), (31, 17), (1, 1), (20, 30)])
def test_resize_equals_pillow(size):
    pixels = noise(20, 30)
    image = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    resized = resize(pixels, size)
    assert resized.shape == (*size, 3)
    np.testing.assert_array_equal(resized, np.asarray(image))


def unrounded(pixels, size):
    """The bilinear resize of uint8 [H, W, 3] in floats, which rounds nowhere."""
    channels = [
        Image.fromarray(channel.astype(np.float32)) for channel in np.moveaxis(pixels, 2, 0)
    ]
    small = [channel.resize(size[::-1], Image.Resampling.BILINEAR) for channel in channels]
    return np.stack([np.asarray(channel) for channel in small], axis=2)


@settings(max_examples=80)
@given(data=st.data())
def test_resized_part_equals_a_crop_of_the_whole(data):
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    size = data.draw(st.tuples(st.integers(1, 70), st.integers(1, 70)))
    part = data.draw(st.tuples(st.integers(1, size[0]), st.integers(1, size[1])))
    top = data.draw(st.integers(0, size[0] - part[0]))
    left = data.draw(st.integers(0, size[1] - part[1]))
    pixels = noise(height, width)
    whole = resize(pixels, size)[top : top + part[0], left : left + part[1]]
    alone = resized_part(pixels, size, top=top, left=left, part=part)
    assert alone.shape == whole.shape
    # Each is off by up to 1, as both passes round; so measured against what is not rounded.
    exact = unrounded(pixels, size)[top : top + part[0], left : left + part[1]]
    assert np.abs(alone - exact).max() <= 1 + 1e-4


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 30), st.integers(1, 30))
def test_resized_labels_hold_no_new_value(height, width, new_height, new_width):
    values = np.array([0, 7, 255, 65_535, -1], dtype=np.int32)
    label = np.random.default_rng(height * 13 + width).choice(values, (height, width))
    resized = resize_label(label, (new_height, new_width))
    assert resized.dtype == np.int32
    assert resized.shape == (new_height, new_width)
    down = (np.arange(new_height) + 0.5) * height / new_height
    across = (np.arange(new_width) + 0.5) * width / new_width
    # Pillow's index is a float that may fall on either side of an exact edge between two pixels.
    clear_down = np.abs(down - np.rint(down)) > 1e-6
    clear_across = np.abs(across - np.rint(across)) > 1e-6
    twin = label[
        np.ix_(down.astype(int).clip(0, height - 1), across.astype(int).clip(0, width - 1))
    ]
    clear = np.ix_(clear_down, clear_across)
    np.testing.assert_array_equal(resized[clear], twin[clear])
    assert set(np.unique(resized)) <= set(np.unique(label))


@pytest.mark.parametrize(
    ("shape", "side", "rows", "columns"),
    [
        ((10, 20, 3), 4, (3, 7), (8, 12)),
        ((5, 4), 3, (1, 4), (0, 3)),
        ((5, 9), 7, (0, 5), (1, 8)),  # a shorter side stays whole
        ((3, 3, 3), 8, (0, 3), (0, 3)),
        ((1, 1), 1, (0, 1), (0, 1)),
    ],
)
def test_center_crop(shape, side, rows, columns):
    pixels = np.arange(np.prod(shape)).reshape(shape)
    expected = pixels[rows[0] : rows[1], columns[0] : columns[1]]
    np.testing.assert_array_equal(center_crop(pixels, side), expected)


@pytest.mark.parametrize(("height", "width"), [(4, 5), (4, 9), (8, 5), (9, 11)])
def test_pad_to_repeats_the_edge(height, width):
    pixels = noise(4, 5)
    padded = pad_to(pixels, height, width)
    rows, columns = np.arange(height).clip(max=3), np.arange(width).clip(max=4)
    np.testing.assert_array_equal(padded, pixels[np.ix_(rows, columns)])


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (16, 16), (5, 40)])
def test_for_scoring_keeps_image_and_label_together(shape):
    """A label whose values are the image's: where the image is flat, they still agree."""
    half = np.arange(shape[1]) >= shape[1] // 2
    label = np.broadcast_to(half, shape).astype(np.int32)
    image = np.repeat((label * 200).astype(np.uint8)[:, :, None], 3, axis=2)
    scored, labels = for_scoring(image, label, short_side=20, crop=16, name="x")
    assert scored.shape == (16, 16, 3)
    assert labels.shape == (16, 16)
    differ = (scored[:, :, 0] > 100) != (labels == 1)
    assert differ.any(axis=0).sum() <= 1  # the column of the edge may fall on either side
    assert set(np.unique(labels)) == {0, 1}


@pytest.mark.parametrize("shape", [(20, 31), (30, 20), (1, 1)])
def test_a_label_of_another_size_is_named(shape):
    with pytest.raises(UserError) as caught:
        for_scoring(noise(20, 30), np.zeros(shape, np.int32), short_side=8, crop=8, name="a/b.jpg")
    assert "a/b.jpg" in str(caught.value)
    assert f"{shape[1]}x{shape[0]} pixels" in str(caught.value)
    assert "30x20" in str(caught.value)


def test_whole_patches_are_the_nearest():
    assert whole_patches((320, 427), 16) == (320, 432)
    assert whole_patches((320, 423), 16) == (320, 416)
    assert whole_patches((5, 24), 16) == (16, 32)
    assert whole_patches((518, 690), 14) == (518, 686)
