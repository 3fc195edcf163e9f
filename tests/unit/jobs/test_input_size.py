"""Training views at the side that the backbone takes: resized, or refused with what would fit."""

import numpy as np
import pytest
import torch
from PIL import Image

from raynef.core.errors import UserError
from raynef.features.backbone import create_model
from raynef.images.augment import View, augment
from raynef.images.datasets.imageset import ImageFile
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image
from raynef.work import views as features
from raynef.work.reading import make_views, resized_view
from raynef.work.units import ImageUnit
from raynef.work.views import FeatureActor, fitting_backbone
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("one_thread")


def views_of(recipe, indices):
    files = open_split(recipe.data, "train").files
    unit = ImageUnit(indices, tuple(files[index] for index in indices), view=1)
    return make_views(unit, data=recipe.data, side=features.view_side(recipe))


def test_views_are_resized_bicubically_with_their_extents(recipe):
    resized = change(recipe, backbone={"input_size": 112}, data={"scale": (0.5, 1.0)})
    found = views_of(resized, [0, 3, 4, 7])
    assert list(found.values) == [0, 3, 4, 7]
    assert {view.pixels.shape for view in found.values.values()} == {(112, 112, 3)}
    files = open_split(recipe.data, "train").files
    for index, seen in found.values.items():
        image = read_image(files[index].path)
        view = augment(image, resized.data, seed=0, view=1, index=index)
        expected = Image.fromarray(view.pixels).resize((112, 112), Image.Resampling.BICUBIC)
        assert np.array_equal(seen.pixels, np.asarray(expected))
        scaled = [side * 112 // 64 for side in view.extent]  # a part of a pixel is none
        assert list(seen.extent) == scaled
    assert (
        min(min(view.extent) for view in found.values.values()) < 112
    )  # some of them have padding, which stays padding


def test_views_of_their_own_size_stay_as_they_are(recipe):
    same = views_of(change(recipe, backbone={"input_size": 64}), [2])
    plain = views_of(recipe, [2])
    assert np.array_equal(same.values[2].pixels, plain.values[2].pixels)
    assert same.values[2].extent == plain.values[2].extent


def test_padding_shows_in_no_feature():
    """The padding repeats the edge: what is valid is that of the image alone, resized."""
    ramp = np.broadcast_to(np.arange(0, 240, 5, dtype=np.uint8)[:, None, None], (48, 64, 3))
    padded = np.concatenate([ramp, np.repeat(ramp[-1:], 16, axis=0)])
    found = resized_view(View(padded, (48, 64)), 128)
    alone = Image.fromarray(np.ascontiguousarray(ramp)).resize((128, 96), Image.Resampling.BICUBIC)
    assert found.extent == (96, 128)
    assert np.abs(found.pixels[:96].astype(int) - np.asarray(alone).astype(int)).max() <= 1


@pytest.mark.parametrize(("crop", "side"), [(480, 518), (320, 224), (768, 336)])
def test_an_extent_never_vanishes_or_grows_beyond(crop, side):
    pixels = np.zeros((crop, crop, 3), np.uint8)
    for extent in ((1, 1), (crop, 1), (crop, crop), (crop - 1, crop // 2)):
        height, width = resized_view(View(pixels, extent), side).extent
        assert 1 <= height <= side
        assert 1 <= width <= side
        assert height == side or extent[0] < crop  # no padding comes about


def test_grid_and_thumbnails_follow_from_the_resized_pixels(recipe):
    resized = change(recipe, backbone={"input_size": 96})
    found = FeatureActor(resized.backbone, "cpu", precision="float32")(views_of(resized, [0, 1, 2]))
    assert found.features is not None
    assert found.features.taps.shape == (3, 3, 36, 192)
    assert found.features.thumbnails.shape == (3, 6, 6, 3)
    assert torch.isfinite(found.features.taps).all()


def test_units_without_a_readable_image(recipe):
    bad = ImageUnit([0], (ImageFile("bad", __file__),))
    made = make_views(bad, data=recipe.data, side=96)
    assert (made.values, list(made.skipped)) == ({}, ["bad"])
    assert FeatureActor(recipe.backbone, "cpu", precision="float32")(made).features is None


DINOV2, RESNET = "vit_small_patch14_dinov2", "resnet18"


@pytest.mark.parametrize(
    ("name", "crop", "input_size", "message"),
    [
        (
            DINOV2, 480, None,
            r"data.crop must be a multiple of the patch size 14 of \w+, got 480; "
            r"nearest: 476 or 490, or give such a size to backbone.input_size to resize crops",
        ),
        (DINOV2, 480, 512, r"backbone.input_size .* 14 .* got 512; nearest: 504 or 518$"),
        (DINOV2, 10, None, r"data.crop .* got 10; nearest: 14, or give"),
        (RESNET, 336, None, r"data.crop .* patch size 32 of resnet18, got 336; .* 320 or 352"),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit_come_with_the_nearest(
    recipe, monkeypatch, name, crop, input_size, message
):
    backbone = {"name": name, "weights": None, "input_size": input_size}
    monkeypatch.setattr("raynef.features.backbone.create_model", lambda name, **_: random(name))
    with pytest.raises(UserError, match=message):
        fitting_backbone(change(recipe, data={"crop": crop}, backbone=backbone))


@pytest.mark.parametrize(
    ("name", "crop", "input_size", "grid"),
    [(DINOV2, 480, 518, 37), (DINOV2, 476, None, 34), (RESNET, 320, None, 10)],
)
def test_sizes_that_fit(recipe, monkeypatch, name, crop, input_size, grid):
    backbone = {"name": name, "weights": None, "input_size": input_size}
    changed = change(recipe, data={"crop": crop}, backbone=backbone)
    monkeypatch.setattr("raynef.features.backbone.create_model", lambda name, **_: random(name))
    assert features.view_side(changed) == grid * fitting_backbone(changed).patch_size


def random(name):
    """As the hub would give it, but of random weights."""
    return create_model(name)
