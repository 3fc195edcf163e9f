"""Training views: draws by (seed, view, image) alone, padding, colors against a float twin."""

import colorsys
import dataclasses
import inspect
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from raynef.config.recipe import Data
from raynef.images import augment as augment_module
from raynef.images.augment import (
    View,
    augment,
    augment_all,
    draws_of_view,
    photometric_distortion,
    place,
)
from raynef.images.geometry import resize, short_side_size

DATA = Data(short_side=40, crop=32)
PLAIN = dataclasses.replace(DATA, scale=(1.0, 1.0), flip=0.0, photometric=False)


def noise(height=50, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def view(image, data=DATA, *, seed=0, number=0, index=0) -> View:
    return augment(image, data, seed=seed, view=number, index=index)


def test_the_same_keys_give_the_same_view():
    first = view(noise(), seed=3, number=1, index=7)
    np.random.seed(5)  # noqa: NPY002 - global state has no influence
    second = view(noise(), seed=3, number=1, index=7)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.extent == second.extent


def test_any_other_key_gives_another_view():
    keys = [{}, {"seed": 1}, {"number": 1}, {"index": 1}, {"seed": 1, "number": 1}]
    views = {view(noise(), **key).pixels.tobytes() for key in keys}
    assert len(views) == len(keys)


def test_there_is_no_way_in_for_a_label():
    functions = [augment, augment_all, photometric_distortion]
    parameters = {name for f in functions for name in inspect.signature(f).parameters}
    assert parameters == {"image", "data", "seed", "view", "views", "index", "pixels", "draws"}
    assert not any("label" in name for name in vars(augment_module))


@pytest.mark.parametrize("kind", ["shifted", "augmented"])
@pytest.mark.parametrize("shape", [(50, 60), (33, 90), (7, 400)])
def test_views_made_together_are_those_made_alone(kind, shape):
    data = dataclasses.replace(DATA, views=kind, shift=3)
    numbers = [2, 0, 5, 1]
    together = augment_all(noise(*shape), data, seed=1, views=numbers, index=4)
    for number, found in zip(numbers, together, strict=True):
        alone = view(noise(*shape), data, seed=1, number=number, index=4)
        np.testing.assert_array_equal(found.pixels, alone.pixels)
        assert found.extent == alone.extent
    assert len({found.pixels.tobytes() for found in together}) == len(numbers)


def test_the_image_is_not_touched():
    image = noise()
    before = image.copy()
    for index in range(5):
        view(image, index=index)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("shape", [(50, 60), (60, 50), (1, 1), (40, 40), (400, 7)])
@pytest.mark.parametrize("scale", [(0.5, 0.5), (1.0, 1.0), (2.0, 2.0), (0.5, 2.0)])
def test_extent_and_padding(shape, scale):
    data = dataclasses.replace(DATA, scale=scale)
    for index in range(4):
        made = view(noise(*shape), data, index=index)
        height, width = made.extent
        assert made.pixels.dtype == np.uint8
        assert made.pixels.shape == (32, 32, 3)
        if scale[0] == scale[1]:
            size = short_side_size(shape, round(40 * scale[0]))
            assert made.extent == (min(32, size[0]), min(32, size[1]))
        edge = made.pixels[
            np.ix_(np.arange(32).clip(max=height - 1), np.arange(32).clip(max=width - 1))
        ]
        np.testing.assert_array_equal(made.pixels, edge)


def test_half_the_size_is_the_whole_image_at_the_top_left():
    image = noise(40, 48)
    data = dataclasses.replace(PLAIN, scale=(0.5, 0.5))
    made = view(image, data)
    assert made.extent == (20, 24)
    whole = resize(image, (20, 24)).astype(int)
    assert np.abs(made.pixels[:20, :24].astype(int) - whole).max() <= 1


def test_a_plain_view_is_a_crop_and_crops_vary():
    image = noise(40, 40)
    corners = set()
    for index in range(20):
        made = view(image, PLAIN, index=index).pixels
        found = [
            (top, left)
            for top in range(9)
            for left in range(9)
            if np.array_equal(made, image[top : top + 32, left : left + 32])
        ]
        assert len(found) == 1
        corners.add(found[0])
    assert len(corners) > 10


@pytest.mark.parametrize(("flip", "low", "high"), [(0.0, 0, 0), (0.5, 75, 125), (1.0, 200, 200)])
def test_flips_come_as_often_as_asked(flip, low, high):
    """Of 200 draws; 75 to 125 is 3.5 standard deviations of a fair coin."""
    image = np.repeat(np.arange(40, dtype=np.uint8)[None, :, None], 40, axis=0).repeat(3, axis=2)
    data = dataclasses.replace(PLAIN, flip=flip)
    flipped = 0
    for index in range(200):
        row = view(image, data, index=index).pixels[0, :, 0].astype(int)
        flipped += row[0] > row[-1]
    assert low <= flipped <= high


def test_scales_cover_their_range():
    image = noise(40, 40)
    data = dataclasses.replace(PLAIN, crop=80, scale=(0.5, 2.0))
    sides = [view(image, data, index=index).extent[0] for index in range(200)]
    assert 20 <= min(sides) < 25
    assert 75 < max(sides) <= 80
    assert 45 < np.mean(sides) < 55


class Scripted:
    """Stands for a generator: brightness, contrast, saturation and hue are what the test says."""

    def __init__(self, *, brightness=None, contrast=None, saturation=None, hue=None, first=False):
        drawn = [brightness, first, contrast, saturation, hue]
        self.coins = [0.0 if item is not None and item is not False else 0.9 for item in drawn]
        self.values = [item for item in (brightness, contrast, saturation) if item is not None]
        self.hue = hue

    def random(self):
        return self.coins.pop(0)

    def uniform(self, low, high):
        value = self.values.pop(0)
        assert low <= value <= high
        return value

    def integers(self, low, high):
        assert low <= self.hue < high
        return self.hue


def scripted(**drawn: Any) -> np.random.Generator:
    return cast(np.random.Generator, Scripted(**drawn))


@pytest.mark.parametrize("brightness", [None, -32, -3.4, 17.5, 32])
@pytest.mark.parametrize("contrast", [None, 0.5, 0.93, 1.5])
@pytest.mark.parametrize("first", [True, False])
def test_brightness_and_contrast_against_floats(brightness, contrast, first):
    pixels = noise()
    draws = scripted(brightness=brightness, contrast=contrast, first=first)
    expected = (pixels + np.float64(brightness or 0)).clip(0, 255)
    expected = (expected * (contrast or 1)).clip(0, 255)
    distorted = photometric_distortion(pixels, draws)
    assert distorted.dtype == np.uint8
    assert np.abs(distorted - expected).max() <= 2


@pytest.mark.parametrize("saturation", [None, 0.5, 0.8, 1.5])
@pytest.mark.parametrize("hue", [None, -18, 7, 18])
def test_saturation_and_hue_against_floats(saturation, hue):
    """Through 8 bits of hue (1.4 degrees) and saturation; so the mean is held, not each level.

    OpenCV's hue counts 180 steps around the circle, Pillow's 256, in whole ones.
    """
    pixels = noise(12, 12)
    draws = scripted(saturation=saturation, hue=hue)
    expected = np.empty(pixels.shape)
    for at in np.ndindex(12, 12):
        h, s, v = colorsys.rgb_to_hsv(*(pixels[at] / 255))
        turned = (h + round((hue or 0) * 256 / 180) / 256) % 1
        expected[at] = colorsys.hsv_to_rgb(turned, min(1, s * (saturation or 1)), v)
    difference = np.abs(photometric_distortion(pixels, draws) - expected * 255)
    assert difference.mean() < 2
    assert difference.max() < 9  # a step of the hue: 6 levels; of the saturation: 1.5; rounding: 1


def test_hues_are_shifted_by_up_to_36_degrees():
    """Red through the largest shift: 18 of OpenCV's 180 steps, a tenth of the circle.

    A dull red, for what is clipped at 255 after its hue was shifted has another one.
    """
    red = np.full((4, 4, 3), (100, 40, 40), dtype=np.uint8)
    shifts = []
    for seed in range(400):
        pixels = photometric_distortion(red, np.random.default_rng(seed))[0, 0] / 255
        hue = colorsys.rgb_to_hsv(*pixels)[0] * 360
        shifts.append(hue - 360 if hue > 180 else hue)
    assert 34 < max(shifts) < 39  # two degrees are a level or so of dark pixels
    assert -39 < min(shifts) < -34


def test_contrast_comes_before_or_after_the_colors():
    pixels = noise()
    options = {"contrast": 1.5, "saturation": 0.5}
    before = photometric_distortion(pixels, scripted(**options, first=True))
    after = photometric_distortion(pixels, scripted(**options, first=False))
    hsv = Image.fromarray((pixels * 1.5).clip(0, 255).astype(np.uint8)).convert("HSV")
    h, s, v = (np.asarray(band) for band in hsv.split())
    twin = np.stack([h, (s * 0.5).astype(np.uint8), v], axis=-1)
    expected = np.asarray(Image.fromarray(twin, mode="HSV").convert("RGB")).astype(int)
    assert np.abs(before - expected).mean() < 2
    assert np.abs(after - expected).mean() > 5


def test_gray_stays_gray():
    pixels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    distorted = photometric_distortion(pixels, scripted(saturation=1.5, hue=18))
    np.testing.assert_array_equal(distorted, pixels)


def test_each_distortion_comes_in_half_of_the_draws():
    """A flat color is left alone only where none is drawn: 1/16 of 400 views, 25 ± 5."""
    image = np.full((40, 40, 3), (120, 60, 30), dtype=np.uint8)
    data = dataclasses.replace(PLAIN, photometric=True)
    kept = sum(
        np.array_equal(view(image, data, index=index).pixels[0, 0], image[0, 0])
        for index in range(400)
    )
    assert 10 <= kept <= 50


def test_where_a_view_lies_follows_from_its_keys_and_the_images_shape():
    """What labels go by: every view is rebuilt from its placement alone."""
    data = dataclasses.replace(DATA, photometric=False)
    flips = set()
    for index in range(20):
        image = noise(50, 60, seed=index)
        where = place(image.shape, data, draws_of_view(2, 1, index))
        again = place((50, 60), data, draws_of_view(2, 1, index))
        assert again == where
        flips.add(where.flipped)
        height, width = where.extent
        whole = resize(image, where.size).astype(int)
        part = whole[where.top : where.top + height, where.left : where.left + width]
        part = part[:, ::-1] if where.flipped else part
        made = view(image, data, seed=2, number=1, index=index)
        assert made.extent == where.extent
        # A crop is resized alone: rounding differs from that of the whole by a level or so.
        assert np.abs(made.pixels[:height, :width].astype(int) - part).mean() < 1
    assert flips == {True, False}


def wide(height=40, width=64):
    """Red grows down, green to the right: a pixel tells where it is from."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)


SHIFTED = dataclasses.replace(DATA, views="shifted", shift=3)


@pytest.mark.parametrize(
    ("number", "top", "left"),
    [(0, 4, 16), (1, 1, 13), (2, 1, 19), (3, 7, 13), (4, 7, 19), (5, -2, 10), (8, 10, 22)],
)
def test_a_shifted_view_is_the_middle_moved(number, top, left):
    """40x64 pixels at the short side that they have, a crop of 32: the middle begins at (4, 16)."""
    found = view(wide(), SHIFTED, number=number, index=9, seed=4)
    assert found.extent == (32, 32)
    rows = np.arange(top, top + 32).clip(0, 39)
    columns = np.arange(left, left + 32).clip(0, 63)
    assert (found.pixels[..., 0] == rows[:, None]).all()
    assert (found.pixels[..., 1] == columns[None, :]).all()


def test_shifted_views_draw_nothing():
    first = view(noise(), SHIFTED, number=2)
    assert np.array_equal(first.pixels, view(noise(), SHIFTED, number=2, seed=5, index=3).pixels)
    colorful = dataclasses.replace(SHIFTED, photometric=False, flip=1.0, scale=(2.0, 2.0))
    assert np.array_equal(first.pixels, view(noise(), colorful, number=2).pixels)


def test_a_shifted_view_of_a_small_image_is_padded_as_the_image_is():
    small = dataclasses.replace(SHIFTED, short_side=20)
    for number in range(5):
        found = view(noise(50, 60), small, number=number)
        assert found.extent == (20, 24)
        edge = np.pad(found.pixels[:20, :24], ((0, 12), (0, 8), (0, 0)), mode="edge")
        assert np.array_equal(found.pixels, edge)
