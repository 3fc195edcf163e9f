"""The layouts of a folder of images, and what is refused by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.core.errors import UserError
from raynef.core.recipe import Data
from raynef.images.datasets import open_split
from raynef.images.folder import open_folder
from raynef.images.imageset import require_labels


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("", encoding="utf-8")
        else:
            Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
    return root


def names(root: Path, split: str | None = None) -> list[str]:
    return [file.name for file in open_folder(root, split).files]


def labelled(root: Path) -> Path:
    """a and b in train, c in val, d in neither; a sub-folder; two classes."""
    stems = ["b", "a", "street/c", "d"]
    tree(root, *(f"images/{s}.jpg" for s in stems), *(f"labels/{s}.png" for s in stems))
    (root / "train.txt").write_text("b\na\n\n", encoding="utf-8")
    (root / "val.txt").write_text("street/c\r\n", encoding="utf-8")
    (root / "classes.txt").write_text("sky\nroad \n", encoding="utf-8")
    return root


@pytest.mark.parametrize("split", [None, "train"])
def test_a_plain_tree(tmp_path, split):
    tree(tmp_path, "z.png", "b/y.JPG", "b/a/x.webp", "a.tiff", "B.gif", "notes.txt")
    (tmp_path / "b" / "table.csv").write_text("1,2", encoding="utf-8")
    images = open_folder(str(tmp_path), split)
    assert [file.name for file in images.files] == [
        "B.gif",
        "a.tiff",
        "b/a/x.webp",
        "b/y.JPG",
        "z.png",
    ]
    assert images.split is None
    assert images.class_names == ()
    assert {file.label for file in images.files} == {None}
    assert all(Path(file.path).is_absolute() and Path(file.path).is_file() for file in images.files)


def test_hidden_files_and_folders_are_left_out(tmp_path):
    root = tree(tmp_path / ".cache" / "set", "a.png", "._a.png", ".thumbs/b.png", "c/.d.png")
    assert names(root) == ["a.png"]


def test_a_folder_with_an_image_suffix_is_no_image(tmp_path):
    assert names(tree(tmp_path, "a.png", "b.jpg/c.png")) == ["a.png", "b.jpg/c.png"]


@pytest.mark.parametrize(
    ("split", "expected", "found"),
    [
        ("train", ["b.jpg", "a.jpg"], "train"),  # in the list's order
        ("val", ["street/c.jpg"], "val"),
        (None, ["a.jpg", "b.jpg", "d.jpg", "street/c.jpg"], None),
    ],
)
def test_images_labels_splits_and_classes(tmp_path, split, expected, found):
    images = open_folder(labelled(tmp_path), split)
    assert [file.name for file in images.files] == expected
    assert images.split == found
    assert images.class_names == ("sky", "road")
    for file in images.files:
        assert file.label == str((tmp_path / "labels" / file.name).with_suffix(".png"))
    require_labels(images)


def test_without_labels_and_classes(tmp_path):
    images = open_folder(tree(tmp_path, "images/a.png"), None)
    assert images.files[0].label is None
    assert images.class_names == ()
    with pytest.raises(UserError, match=r"1 of 1 images .* first is a.png \(looked for a labels/"):
        require_labels(images)


def test_one_label_missing(tmp_path):
    (labelled(tmp_path) / "labels" / "a.png").unlink()
    with pytest.raises(UserError, match=r"1 of 2 images .* first is a\.jpg .*labels/a\.png"):
        require_labels(open_folder(tmp_path, "train"))


def test_names_with_and_without_suffix_and_with_dots(tmp_path):
    tree(tmp_path, "images/a.b.jpg", "images/a.jpg", "images/a.png")
    (tmp_path / "train.txt").write_text("a.b\na.png\na\n", encoding="utf-8")
    assert names(tmp_path, "train") == ["a.b.jpg", "a.png", "a.jpg"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a\nzebra\nyak\n", r"train.txt names 2 of 3 images .* first is 'zebra'"),
        ("../secret\n", r"names 1 of 1 images .* '\.\./secret'"),
        ("../secret.png\n", r"names 1 of 1 images .* '\.\./secret.png'"),
        ("\n \n", "train.txt names no image"),
        ("", "train.txt names no image"),
    ],
)
def test_a_split_must_name_images_of_the_set(tmp_path, lines, message):
    tree(tmp_path, "images/a.jpg", "secret.png")
    (tmp_path / "train.txt").write_text(lines, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        open_folder(tmp_path, "train")


@pytest.mark.parametrize("split", ["../other", "a/../../other", "/other"])
def test_a_split_stays_within_the_root(tmp_path, split):
    tree(tmp_path / "set", "images/a.jpg")
    (tmp_path / "other.txt").write_text("a\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"split '{split}' leads out"):
        open_folder(tmp_path / "set", split)


@pytest.mark.parametrize(
    ("made", "opened", "message"),
    [
        ([], "none", "'.*none' is not a folder"),
        (["a.png"], "a.png", "is not a folder"),
        (["notes.txt"], ".", r"no image under .*looked for \.bmp"),
        (["images/notes.txt", "a.png"], ".", "no image under .*images"),
        ([".hidden.png"], ".", "no image under"),
    ],
)
def test_nothing_to_open(tmp_path, made, opened, message):
    with pytest.raises(UserError, match=message):
        open_folder(tree(tmp_path, *made) / opened, "train")


def test_the_order_does_not_depend_on_creation(tmp_path):
    stems = [f"{i:03d}" for i in np.random.default_rng(0).permutation(40)]
    tree(tmp_path / "one", *(f"{s}.png" for s in stems))
    tree(tmp_path / "two", *(f"{s}.png" for s in reversed(stems)))
    assert names(tmp_path / "one") == names(tmp_path / "two") == sorted(f"{s}.png" for s in stems)


def test_open_split(tmp_path):
    assert len(open_split(Data(root=str(labelled(tmp_path))), "train").files) == 2
    with pytest.raises(UserError, match=r"data.root is not set; .* --data.root"):
        open_split(Data(), "train")


def test_a_split_without_a_list_beside_others_is_named(tmp_path):
    root = labelled(tmp_path)
    with pytest.raises(UserError, match=r"has no tset.txt, but train.txt, val.txt"):
        open_folder(root, "tset")
    for name in ("train", "val"):
        (root / f"{name}.txt").unlink()
    assert len(open_folder(root, "train").files) == 4  # no lists at all: every image


def test_a_gap_in_the_class_names_is_named(tmp_path):
    root = labelled(tmp_path)
    (root / "classes.txt").write_text("sky\n\nroad\n")
    with pytest.raises(UserError, match="no name in line 2"):
        open_folder(root, "train")
