"""Windows and their matrices against interpolating every window and averaging the pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from raynef.segment.upsample import upsample_argmax
from raynef.segment.windows import (
    average_matrix,
    average_part,
    sliding_windows,
    whole_image,
    window_starts,
)
from tests.unit.segment.test_upsample import assert_largest

pytestmark = pytest.mark.usefixtures("one_thread")


def interpolated(planes, size):
    return functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)


def slow_pixel_logits(windows, logits, size, patch):
    """Every window to its pixels, summed and counted in an image, then resized: [H, W, K]."""
    num_clusters = logits.shape[-1]
    total = torch.zeros((1, num_clusters, *windows.image), dtype=torch.float64)
    times = torch.zeros(windows.image, dtype=torch.float64)
    corners = [(top, left) for top in windows.tops for left in windows.lefts]
    for (top, left), window in zip(corners, logits.double(), strict=True):
        grid = window.permute(2, 0, 1)[None]
        pixels = interpolated(grid, (grid.shape[2] * patch[0], grid.shape[3] * patch[1]))
        height, width = windows.window
        total[..., top : top + height, left : left + width] += pixels[..., :height, :width]
        times[top : top + height, left : left + width] += 1
    assert times.min() >= 1
    return interpolated(total / times, size)[0].permute(1, 2, 0)


def random_logits(windows, patch, num_clusters=7):
    height, width = (-(-side // cell) for side, cell in zip(windows.window, patch, strict=True))
    count = len(windows.tops) * len(windows.lefts)
    generator = torch.Generator().manual_seed(sum(windows.image))
    shape = (count, height, width, num_clusters)
    return torch.randn(shape, generator=generator), (height, width)


@pytest.mark.parametrize(
    ("length", "window", "stride", "expected"),
    [
        (520, 480, 320, (0, 40)),  # the last is flush with the border
        (800, 480, 320, (0, 320)),
        (801, 480, 320, (0, 320, 321)),
        (2048, 768, 512, (0, 512, 1024, 1280)),
        (480, 480, 320, (0,)),
        (100, 480, 320, (0,)),
        (1024, 512, 512, (0, 512)),
    ],
)
def test_window_starts(length, window, stride, expected):
    assert window_starts(length, window, stride) == expected


@given(length=st.integers(1, 200), window=st.integers(1, 80), data=st.data())
def test_windows_cover_the_side_and_stay_within(length, window, data):
    stride = data.draw(st.integers(1, window))
    starts = window_starts(length, window, stride)
    side = np.zeros(length, dtype=int)
    for start in starts:
        assert 0 <= start <= max(0, length - window)
        side[start : start + window] += 1
    assert side.min() >= 1
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize(
    ("image", "window", "stride", "size"),
    [
        ((48, 80), 32, 16, (48, 80)),  # windows on one grid
        ((50, 83), 32, 20, (50, 83)),  # on none: the last is flush, starts are no multiples
        ((50, 83), 32, 20, (75, 124)),  # the label is larger …
        ((50, 83), 32, 20, (31, 52)),  # … or smaller
        ((40, 90), 44, 44, (60, 135)),  # one window down, smaller than asked for
        ((37, 64), 30, 9, (37, 64)),  # windows that are no multiple of the patch
    ],
)
@pytest.mark.parametrize("cell", [(8, 8), (6, 10)])  # whole patches, or sides scaled apart
def test_sliding_windows_equal_their_average_in_pixels(image, window, stride, size, cell):
    windows = sliding_windows(image, window=window, stride=stride)
    logits, grid = random_logits(windows, cell)
    rows, columns = windows.matrices(grid, size, cell=cell)
    joined = windows.join(logits)
    assert joined.shape == (rows.shape[1], columns.shape[1], 7)
    assert torch.equal(windows.split(joined), logits)
    expected = slow_pixel_logits(windows, logits, size, cell)
    pixels = torch.einsum("yh,xw,hwk->yxk", rows, columns, joined)
    torch.testing.assert_close(pixels.double(), expected, atol=1e-5, rtol=0)
    assert_largest(upsample_argmax(joined[None], rows, columns)[0], expected)


@settings(max_examples=30)
@given(data=st.data())
def test_any_windows(data):
    image = data.draw(st.tuples(st.integers(3, 60), st.integers(3, 60)))
    window = data.draw(st.integers(8, 40))
    stride = data.draw(st.integers(max(1, window // 3), window))
    size = data.draw(st.tuples(st.integers(3, 90), st.integers(3, 90)))
    windows = sliding_windows(image, window=window, stride=stride)
    if len(windows.tops) == len(windows.lefts) == 1:
        size = image  # one window is resized at once, without the pixels between
    cell = (data.draw(st.integers(3, 12)), data.draw(st.integers(3, 12)))
    logits, grid = random_logits(windows, cell)
    rows, columns = windows.matrices(grid, size, cell=cell)
    expected = slow_pixel_logits(windows, logits, size, cell)
    assert_largest(upsample_argmax(windows.join(logits)[None], rows, columns)[0], expected)
    for matrix in (rows, columns):
        assert matrix.min() >= 0
        torch.testing.assert_close(matrix.sum(dim=1), torch.ones(len(matrix)))


def test_a_window_as_large_as_the_image_is_a_whole_pass():
    sliding, whole = sliding_windows((40, 56), window=64, stride=32), whole_image((40, 56))
    assert sliding == whole
    logits, grid = random_logits(whole, (16, 16))
    rows, columns = whole.matrices(grid, (80, 112), cell=(16, 16))
    assert torch.equal(whole.join(logits), logits[0])
    twice = interpolated(logits.double().permute(0, 3, 1, 2), (96, 128))[0].permute(1, 2, 0)
    assert_largest(upsample_argmax(logits, rows, columns)[0], twice[:80, :112])


def test_windows_are_cut_where_they_lie():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 44, 3), dtype=np.uint8)
    windows = sliding_windows((30, 44), window=20, stride=16)
    cut = windows.cut(pixels)
    corners = [(top, left) for top in (0, 10) for left in (0, 16, 24)]
    assert cut.shape == (6, 20, 20, 3)
    for window, (top, left) in zip(cut, corners, strict=True):
        np.testing.assert_array_equal(window, pixels[top : top + 20, left : left + 20])


@pytest.mark.parametrize(("length", "stride", "cells"), [(100, 16, 2), (97, 16, 3), (32, 16, 2)])
def test_parts_are_rows_of_the_whole_matrix(length, stride, cells):
    starts, cell = window_starts(length, 32, stride), 32 / cells
    whole = average_matrix(starts, length, 32, cells, cell=cell, num_out=length)
    for first in range(0, length, 13):
        pixels = range(first, min(first + 13, length))
        windows, part = average_part(starts, 32, cells, cell=cell, pixels=pixels)
        used = slice(windows.start * cells, windows.stop * cells)
        assert torch.equal(part, whole[first : pixels.stop, used])
        assert part.sum() == pytest.approx(whole[first : pixels.stop].sum())
