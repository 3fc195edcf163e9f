"""The layouts of a folder of images, and what is refused by name."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.config.recipe import Data
from raynef.core.errors import UserError
from raynef.images.datasets.folder import open_folder
from raynef.images.datasets.imageset import require_labels
from raynef.images.datasets.registry import open_split
from raynef.io.storage import join, list_files, read_bytes
from tests.s3_server import s3_server


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


def labeled(root: Path) -> Path:
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
    images = open_folder(labeled(tmp_path), split)
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


def test_a_benchmark_without_labels_is_not_told_of_a_labels_folder(tmp_path):
    images = open_folder(tree(tmp_path, "images/a.png"), None)
    with pytest.raises(UserError, match=r"looked for the label files as released") as caught:
        require_labels(dataclasses.replace(images, name="voc2012"))
    assert "the labels of voc2012" in str(caught.value)
    assert "labels/" not in str(caught.value)


def test_one_label_missing(tmp_path):
    (labeled(tmp_path) / "labels" / "a.png").unlink()
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
    assert len(open_split(Data(root=str(labeled(tmp_path))), "train").files) == 2
    with pytest.raises(UserError, match=r"data.root is not set; .* --data.root"):
        open_split(Data(), "train")


def test_a_split_without_a_list_beside_others_is_named(tmp_path):
    root = labeled(tmp_path)
    with pytest.raises(UserError, match=r"has no tset.txt, but train.txt, val.txt"):
        open_folder(root, "tset")
    for name in ("train", "val"):
        (root / f"{name}.txt").unlink()
    assert len(open_folder(root, "train").files) == 4  # no lists at all: every image


def test_a_gap_in_the_class_names_is_named(tmp_path):
    root = labeled(tmp_path)
    (root / "classes.txt").write_text("sky\n\nroad\n")
    with pytest.raises(UserError, match="no name in line 2"):
        open_folder(root, "train")


# ------------------------------------------------------------------------------------ addresses


@pytest.fixture(params=["file", "memory", "s3"])
def address_of(request, tmp_path):
    """What makes an address of a folder below ``tmp_path``."""
    if request.param == "s3":
        with s3_server(tmp_path) as server:
            yield lambda folder: server.address(str(folder.relative_to(tmp_path)))
    elif request.param == "file":
        yield lambda folder: f"file://{folder}"
    else:
        yield lambda folder: in_memory(folder, request.node.name)


def in_memory(folder: Path, name: str) -> str:
    from pyarrow import fs

    root = f"fsspec+memory:///{name.replace('[', '-').replace(']', '')}"
    system, path = fs.FileSystem.from_uri(root)
    for file in list_files(str(folder)):
        with system.open_output_stream(f"{path}/{file}") as stream:
            stream.write((folder / file).read_bytes())
    return root


@pytest.mark.parametrize("split", ["train", "val", None])
def test_at_an_address_as_on_a_disk(tmp_path, address_of, split):
    folder = labeled(tmp_path / "set")
    here, there = open_folder(folder, split), open_folder(address_of(folder), split)
    assert [file.name for file in there.files] == [file.name for file in here.files]
    assert (there.split, there.class_names) == (here.split, here.class_names)
    for one, other in zip(here.files, there.files, strict=True):
        assert read_bytes(other.path) == Path(one.path).read_bytes()
        assert read_bytes(str(other.label)) == Path(str(one.label)).read_bytes()
    require_labels(there)


def test_odd_names_at_an_address(tmp_path, address_of):
    stems = ["a b", "50%", "a%20b", "ü", "q?x", "h#"]
    folder = tree(tmp_path / "set", *(f"images/{s}.png" for s in stems))
    tree(folder, *(f"labels/{s}.png" for s in stems))
    (folder / "train.txt").write_text("\n".join(stems), encoding="utf-8")
    there = open_folder(address_of(folder), "train")
    assert [file.name for file in there.files] == [f"{s}.png" for s in stems]
    require_labels(there)
    assert all(read_bytes(file.path) and read_bytes(str(file.label)) for file in there.files)


def test_a_plain_tree_at_an_address(tmp_path, address_of):
    folder = tree(tmp_path / "set", "b.png", "a/c.JPG", ".cache/d.png", "x.txt")
    there = open_folder(address_of(folder), "train")
    assert [(file.name, file.label) for file in there.files] == [("a/c.JPG", None), ("b.png", None)]
    assert there.split is None


def test_what_is_refused_at_an_address(tmp_path, address_of):
    folder = labeled(tmp_path / "set")
    (folder / "train.txt").write_text("zebra\n", encoding="utf-8")
    (folder / "labels" / "street" / "c.png").unlink()
    root = address_of(folder)
    for no_folder in ("none", "train.txt"):
        with pytest.raises(UserError, match=rf"data\.root '.*/{no_folder}' is not a folder"):
            open_folder(join(root, no_folder), "train")
    with pytest.raises(UserError, match=r"train.txt names 1 of 1 images .* first is 'zebra'"):
        open_folder(root, "train")
    with pytest.raises(UserError, match=r"has no tset.txt, but train.txt, val.txt"):
        open_folder(root, "tset")
    with pytest.raises(UserError, match=r"1 of 1 images .*labels/street/c\.png") as caught:
        require_labels(open_folder(root, "val"))
    assert "s3cret" not in str(caught.value)


def test_requests_do_not_grow_with_the_files(tmp_path):
    asked = []
    for count in (2, 40):
        folder = tree(tmp_path / f"set{count}", *(f"images/{i}.png" for i in range(count)))
        tree(folder, *(f"labels/{i}.png" for i in range(count)))
        with s3_server(tmp_path) as server:
            open_folder(server.address(folder.name), "train")
            asked.append(len(server.asked))
    assert asked[0] == asked[1] < 20


def test_linked_files_are_images_and_linked_folders_are_not_entered(tmp_path):
    root = tree(tmp_path / "set", "a.png")
    tree(tmp_path / "other", "b.png")
    (root / "file.png").symlink_to(tmp_path / "other" / "b.png")
    (root / "broken.png").symlink_to(tmp_path / "none")
    (root / "folder").symlink_to(tmp_path / "other")
    assert names(root) == ["a.png", "file.png"]


def test_a_home_and_a_relative_root(tmp_path, monkeypatch):
    tree(tmp_path / "set", "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for root in ("set", "./set/", "~/set", Path("set")):
        images = open_folder(root, None)
        assert images.root == str(tmp_path / "set")
        assert images.files[0].path == str(tmp_path / "set" / "a.png")
