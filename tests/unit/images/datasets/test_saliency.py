"""Masks of one object: the layouts of four data sets, and every way in which a mask is stored."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.config.recipe import Data
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageSet, require_labels
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_label, read_mask

FOLDERS = {
    "cub": ("test_images", "test_segmentations"),
    "dut_omron": ("DUT-OMRON-image", "pixelwiseGT-new-PNG"),
    "duts_te": ("DUTS-TE/DUTS-TE-Image", "DUTS-TE/DUTS-TE-Mask"),
    "ecssd": ("images", "ground_truth_mask"),
}
LEVELS = np.array([[0, 1, 127, 128, 255]], np.uint8)
FOREGROUND = [[False, False, False, True, True]]


def saliency_layout(name: str, root: Path, stems: tuple[str, ...] = ("0002", "0001")) -> Path:
    """Photographs of 6×4 pixels with masks of one row, so that values are seen at a glance."""
    for folder, suffix, pixels in (
        (FOLDERS[name][0], "jpg", np.full((4, 6, 3), 90, np.uint8)),
        (FOLDERS[name][1], "png", LEVELS),
    ):
        for stem in stems:
            path = root / folder / f"{stem}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return root


def open_set(name: str, root: Path | str, split: str | None = "test") -> ImageSet:
    return open_split(Data(name=name, root=str(root)), split)


# -------------------------------------------------------------------------------------- one mask


def gray_in(mode: str) -> Image.Image:
    """The levels in an image of another mode; where it has transparency, all is transparent."""
    image = Image.fromarray(LEVELS).convert(mode)
    if mode.endswith("A"):
        image.putalpha(0)
    return image


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA", "P"])
def test_foreground_is_lighter_than_half_of_white(tmp_path, mode):
    gray_in(mode).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == bool
    assert mask.tolist() == FOREGROUND


def test_a_palette_gives_the_gray(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([255] * 3 + [0] * 3 + [128] * 3)
    image.save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [[True, False, True]]


def test_one_bit_is_black_or_white(tmp_path):
    """As a label, the same file would hold classes 0 and 1."""
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "1"
    assert read_mask(tmp_path / "mask.png").tolist() == [[True, False]]
    assert read_label(tmp_path / "mask.png", "mask").tolist() == [[1, 0]]


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_compression_leaves_gray_gray(tmp_path, mode):
    rows, columns = np.mgrid[:40, :50]
    disc = (rows - 20) ** 2 + (columns - 25) ** 2 < 200
    Image.fromarray(np.where(disc, 255, 0).astype(np.uint8)).convert(mode).save(
        tmp_path / "mask.jpg", quality=60
    )
    assert (read_mask(tmp_path / "mask.jpg") != disc).mean() < 0.01


def test_a_mask_read_as_a_label_has_two_classes(tmp_path):
    Image.fromarray(LEVELS).save(tmp_path / "mask.png")
    label = read_label(tmp_path / "mask.png", "mask")
    assert label.dtype == np.int32
    assert label.tolist() == [[0, 0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("RGB", (3, 2), (128, 0, 0)), "must be gray, .* but it has colors"),
        (Image.fromarray(np.array([[300]], np.uint16)), "must be 8-bit gray, got .* mode I;16"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path, image, message):
    image.save(tmp_path / "mask.png")
    with pytest.raises(UserError, match=rf"mask\.png {message}"):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize(("content", "message"), [(None, "is missing"), (b"", "cannot be read")])
def test_unreadable_masks_are_named(content, message, tmp_path):
    path: Path = tmp_path / "mask.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"label .*mask\.png {message}"):
        read_mask(path)


# ------------------------------------------------------------------------------------- data sets


@pytest.mark.parametrize("split", ["test", "train", "val", "trainval", None])
@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_the_one_split(tmp_path, name, split):
    found = open_set(name, saliency_layout(name, tmp_path), split)
    assert (found.name, found.split) == (name, "test")
    assert found.class_names == ("background", "foreground")
    assert [file.name for file in found.files] == ["0001.jpg", "0002.jpg"]
    require_labels(found)
    for file in found.files:
        assert read_label(file.label or "", found.label_codes).tolist() == [[0, 0, 0, 1, 1]]
    with pytest.raises(UserError, match=f"{name} has no split 'x'; there are: test, train, "):
        open_set(name, tmp_path, "x")


@pytest.mark.parametrize(
    ("name", "outer"),
    [("cub", "CUB_200_2011"), ("dut_omron", "DUT-OMRON"), ("ecssd", "ECSSD"), ("duts_te", "")],
)
def test_the_root_may_hold_the_folder_or_be_it(tmp_path, name, outer):
    inner = saliency_layout(name, tmp_path / outer)
    found = open_set(name, tmp_path)
    assert open_set(name, inner / ("DUTS-TE" if name == "duts_te" else "")) == found


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_another_folder_is_refused_by_what_it_lacks(tmp_path, name):
    folder = FOLDERS[name][0].removeprefix("DUTS-TE/")
    with pytest.raises(UserError, match=f"there is no folder {tmp_path}/{folder} or "):
        open_set(name, tmp_path)


def test_birds_in_folders_of_classes(tmp_path):
    stems = ("002.Laysan/Laysan_0002", "001.Black/Black_0009", "001.Black/Black_0001")
    found = open_set("cub", saliency_layout("cub", tmp_path, stems))
    assert [file.name for file in found.files] == [f"{stem}.jpg" for stem in reversed(stems)]
    assert [Path(file.label or "").stem for file in found.files] == [
        "Black_0001",
        "Black_0009",
        "Laysan_0002",
    ]


def test_copies_in_other_formats(tmp_path):
    saliency_layout("cub", tmp_path)
    image = tmp_path / "test_images" / "0001.jpg"
    image.rename(image.with_suffix(".png"))
    mask = tmp_path / "test_segmentations" / "0002.png"
    mask.rename(mask.with_suffix(".bmp"))
    found = open_set("cub", tmp_path)
    assert [file.name for file in found.files] == ["0001.png", "0002.jpg"]
    assert [Path(file.label or "").name for file in found.files] == ["0001.png", "0002.bmp"]


def test_one_stem_in_two_formats_is_refused(tmp_path):
    saliency_layout("ecssd", tmp_path)
    Image.new("RGB", (6, 4)).save(tmp_path / "images" / "0001.png")
    with pytest.raises(UserError, match=r"/images holds both 0001\.jpg and 0001\.png; keep one$"):
        open_set("ecssd", tmp_path)


def test_missing_and_surplus_masks_are_told_at_once(tmp_path):
    saliency_layout("ecssd", tmp_path)
    masks = tmp_path / "ground_truth_mask"
    (masks / "0002.png").rename(masks / "0003.png")
    with pytest.raises(UserError) as caught:
        open_set("ecssd", tmp_path)
    assert str(caught.value) == (
        "images and masks do not pair up: "
        f"1 of 2 images have no mask in {masks}; the first is 0002.png. "
        f"1 of 2 masks have no image in {tmp_path}/images; the first is 0003.png"
    )


def test_no_image_at_all(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=r"no image in .* \(looked for \*\.jpg, \*\.jpeg, \*\.png"):
        open_set("ecssd", tmp_path)


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_an_address_is_as_good_as_a_path(tmp_path, name):
    here = open_set(name, saliency_layout(name, tmp_path))
    there = open_set(name, f"file://{tmp_path}/")
    assert [file.name for file in there.files] == [file.name for file in here.files]
    assert read_label(there.files[0].label or "", "mask").tolist() == [[0, 0, 0, 1, 1]]
