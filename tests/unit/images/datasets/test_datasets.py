"""Benchmarks in their official layouts, tiny: splits, classes, label conventions, broken copies."""

import hashlib
import uuid
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.config.recipe import Data
from raynef.core import IGNORE
from raynef.core.errors import UserError
from raynef.images.datasets import cityscapes, coco_stuff, pascal_context, voc
from raynef.images.datasets.ade20k import ADE20K_CLASSES
from raynef.images.datasets.imageset import ImageSet, require_labels
from raynef.images.datasets.registry import dataset_names, open_split
from raynef.images.decode import read_image, read_label
from raynef.io.storage import read_bytes
from tests.known import a
from tests.unit.images.datasets.test_boxes import BOXED
from tests.unit.images.datasets.test_saliency import FOLDERS as MASKS


def images(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), 90, np.uint8)).save(path)


def label(path: Path, *values: int, palette: bool = False) -> None:
    """A label file of one row that holds ``values``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.array([values], np.uint8))
    if palette:
        image.putpalette([(37 * i) % 256 for i in range(768)])
    image.save(path)


def lists(folder: Path, **splits: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, names in splits.items():
        text = "".join(f"{name}\n" for name in names.split())
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")


def voc_layout(root: Path) -> Path:
    """Trains on b and a, evaluates on c; d is only in trainaug, e in no list."""
    base = root / "VOCdevkit" / "VOC2012"
    images(base / "JPEGImages", *(f"2007_{stem}.jpg" for stem in "abcde"))
    for stem in "abc":
        label(base / "SegmentationClass" / f"2007_{stem}.png", 0, 15, 20, 255, palette=True)
    for stem in "abd":
        label(base / "SegmentationClassAug" / f"2007_{stem}.png", 0, 3, 20, 255)
    lists(
        base / "ImageSets" / "Segmentation",
        train="2007_b 2007_a",
        val="2007_c",
        trainval="2007_b 2007_a 2007_c",
        trainaug="2007_b 2007_a 2007_d",
    )
    lists(base / "ImageSets" / "Main", person_train="2007_e")
    return root


def pascal_context_layout(root: Path) -> Path:
    base = root / "VOCdevkit" / "VOC2010"
    images(base / "JPEGImages", *(f"2008_{stem}.jpg" for stem in "abcd"))
    for stem in "abc":
        label(base / "SegmentationClassContext" / f"2008_{stem}.png", 0, 1, 2, 59)
    lists(base / "ImageSets" / "SegmentationContext", train="2008_b 2008_a", val="2008_c")
    return root


def cityscapes_layout(root: Path) -> Path:
    for split, stems in {
        "train": ["ulm/ulm_000001_000019", "aachen/aachen_000000_000019"],
        "val": ["munster/munster_000002_000019"],
        "test": ["berlin/berlin_000000_000019"],
    }.items():
        for stem in stems:
            images(root / "leftImg8bit" / split, f"{stem}_leftImg8bit.png")
            found = root / "gtFine" / split / stem
            label(Path(f"{found}_gtFine_labelIds.png"), *range(34))
            images(found.parent, f"{found.name}_gtFine_color.png")
            Path(f"{found}_gtFine_polygons.json").write_text("{}", encoding="utf-8")
    return root


def ade20k_layout(root: Path) -> Path:
    base = root / "ADEChallengeData2016"
    for split, stems in {"training": ["train_2", "train_1"], "validation": ["val_1"]}.items():
        for stem in stems:
            images(base / "images" / split, f"ADE_{stem}.jpg")
            label(base / "annotations" / split / f"ADE_{stem}.png", 0, 1, 2, 150)
    (base / "objectInfo150.txt").write_text("Idx\n", encoding="utf-8")
    return root


def coco_layout(root: Path) -> Path:
    """The curated list of train leaves 3 out; val has the longer list alone."""
    for split in ("train2017", "val2017"):
        for stem in ("000000000001", "000000000002", "000000000003"):
            images(root / "images" / split, f"{stem}.jpg")
            label(root / "annotations" / split / f"{stem}.png", 0, 1, 91, 181, 255)
    long = "Coco164kFull_Stuff_Coarse"
    lists(
        root / "curated" / "train2017",
        **{f"{long}_7": "000000000002 000000000001", long: "000000000003"},
    )
    lists(root / "curated" / "val2017", **{long: "000000000003"})
    return root


def imagenet_layout(root: Path) -> Path:
    images(root / "train", "n02/n02_7.JPEG", "n01/n01_10.JPEG", "n01/n01_2.JPEG")
    return root


LAYOUTS = {
    "pascal_context": pascal_context_layout,
    "pascal_context_60": pascal_context_layout,
    "cityscapes": cityscapes_layout,
    "cityscapes_19": cityscapes_layout,
    "ade20k": ade20k_layout,
    "voc2012": voc_layout,
    "voc2012_aug": voc_layout,
    "coco_stuff_27": coco_layout,
    "imagenet": imagenet_layout,
}
LABELED = sorted(LAYOUTS.keys() - {"imagenet"})


def open_set(name: str, root: Path | str, split: str = "train") -> ImageSet:
    return open_split(Data(name=name, root=str(root)), split)


def names(found: ImageSet) -> list[str]:
    return [file.name for file in found.files]


def classes_of(found: ImageSet, index: int = 0) -> list[int]:
    path = found.files[index].label
    assert path is not None
    return read_label(path, found.label_codes)[0].tolist()


def test_every_data_set_is_tested_here():
    """Folders in test_folder.py, masks and boxes in files of their own."""
    assert {*LAYOUTS, *MASKS, *BOXED, "folder"} == set(dataset_names())


@pytest.mark.parametrize(
    ("name", "split", "official", "expected"),
    [
        ("voc2012", "train", "train", ["2007_b.jpg", "2007_a.jpg"]),
        ("voc2012", "val", "val", ["2007_c.jpg"]),
        ("voc2012", "trainval", "trainval", ["2007_b.jpg", "2007_a.jpg", "2007_c.jpg"]),
        ("voc2012_aug", "train", "trainaug", ["2007_b.jpg", "2007_a.jpg", "2007_d.jpg"]),
        ("voc2012_aug", "val", "val", ["2007_c.jpg"]),
        ("pascal_context", "train", "train", ["2008_b.jpg", "2008_a.jpg"]),
        ("pascal_context_60", "val", "val", ["2008_c.jpg"]),
        (
            "cityscapes",
            "train",
            "train",
            [
                "aachen/aachen_000000_000019_leftImg8bit.png",
                "ulm/ulm_000001_000019_leftImg8bit.png",
            ],
        ),
        ("cityscapes_19", "val", "val", ["munster/munster_000002_000019_leftImg8bit.png"]),
        ("ade20k", "train", "training", ["ADE_train_1.jpg", "ADE_train_2.jpg"]),
        ("ade20k", "validation", "validation", ["ADE_val_1.jpg"]),
        ("coco_stuff_27", "train", "train2017", ["000000000002.jpg", "000000000001.jpg"]),
        ("coco_stuff_27", "val", "val2017", ["000000000003.jpg"]),
        ("imagenet", "train", "train", ["n01/n01_10.JPEG", "n01/n01_2.JPEG", "n02/n02_7.JPEG"]),
    ],
)
def test_splits(tmp_path, name, split, official, expected):
    found = open_set(name, LAYOUTS[name](tmp_path), split)
    assert (found.name, found.split) == (name, official)
    assert names(found) == expected
    for file in found.files:
        assert read_image(file.path).shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [
        ("voc2012", "train", [0, 15, 20, IGNORE]),
        ("voc2012_aug", "train", [0, 3, 20, IGNORE]),  # 8-bit gray
        ("voc2012_aug", "val", [0, 15, 20, IGNORE]),  # the published labels, with a palette
        ("pascal_context", "train", [IGNORE, 0, 1, 58]),
        ("pascal_context_60", "train", [0, 1, 2, 59]),
        ("ade20k", "val", [IGNORE, 0, 1, 149]),
        ("coco_stuff_27", "train", [9, 11, 17, 24, IGNORE]),
        ("cityscapes", "val", [IGNORE] * 7 + list(range(27))),
    ],
)
def test_what_label_values_mean(tmp_path, name, split, expected):
    found = open_set(name, LAYOUTS[name](tmp_path), split)
    assert all(classes_of(found, i) == expected for i in range(len(found.files)))
    require_labels(found)


def test_cityscapes_19_is_the_train_ids(tmp_path):
    values = classes_of(open_set("cityscapes_19", cityscapes_layout(tmp_path), "val"))
    scored = [i for i, value in enumerate(values) if value != IGNORE]
    assert scored == [7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33]
    assert [values[i] for i in scored] == list(range(19))
    for label_id, name in {7: "road", 11: "building", 26: "car", 33: "bicycle"}.items():
        assert cityscapes.CITYSCAPES_19_CLASSES[values[label_id]] == name
        assert cityscapes.CITYSCAPES_CLASSES[label_id - 7] == name


@pytest.mark.parametrize(
    ("name", "value"),
    [("pascal_context", 60), ("pascal_context_60", 255), ("ade20k", 151), ("cityscapes", 34)],
)
def test_a_value_that_is_no_label_is_refused(tmp_path, name, value):
    found = open_set(name, LAYOUTS[name](tmp_path), "val")
    label(Path(found.files[0].label or ""), 0, value)
    with pytest.raises(UserError, match=f"holds {value}, but its data set knows"):
        classes_of(found)


def test_a_value_of_coco_that_is_no_label_is_no_class(tmp_path):
    found = open_set("coco_stuff_27", coco_layout(tmp_path))
    label(Path(found.files[0].label or ""), 182, 254)
    assert classes_of(found) == [182, 254]  # scoring refuses what is neither a class nor ignored


@pytest.mark.parametrize(
    ("names", "count", "some"),
    [
        (voc.VOC_CLASSES, 21, {0: "background", 1: "aeroplane", 15: "person", 20: "tvmonitor"}),
        (
            pascal_context.PASCAL_CONTEXT_CLASSES,
            59,
            {0: "aeroplane", 1: "bag", 2: "bed", 3: "bedclothes", 4: "bench", 5: "bicycle"}
            | {36: "person", 46: "sky", 52: "tree", 58: "wood"},
        ),
        (
            cityscapes.CITYSCAPES_CLASSES,
            27,
            {0: "road", 3: "rail track", 14: "vegetation", 23: "trailer", 26: "bicycle"},
        ),
        (
            cityscapes.CITYSCAPES_19_CLASSES,
            19,
            {0: "road", 8: "vegetation", 10: "sky", 11: "person", 16: "train", 18: "bicycle"},
        ),
        (
            ADE20K_CLASSES,
            150,
            {0: "wall", 12: "person", 20: "car", 49: "fireplace", 89: "television", 99: "buffet"}
            | {115: "bag", 136: "traffic light", 149: "flag"},
        ),
        (
            coco_stuff.COCO_STUFF_27_CLASSES,
            27,
            {0: "electronic", 9: "person", 11: "vehicle", 12: "ceiling", 23: "sky", 26: "water"},
        ),
    ],
)
def test_class_names(names, count, some):
    """By their official indices, counted in the data sets' own label files."""
    assert len(names) == len(set(names)) == count
    assert {index: names[index] for index in some} == some


def test_pascal_context_is_alphabetical():
    names = pascal_context.PASCAL_CONTEXT_CLASSES
    assert list(names) == sorted(names)


@pytest.mark.parametrize("name", LABELED)
def test_codes_reach_every_class_and_no_other(tmp_path, name):
    found = open_set(name, LAYOUTS[name](tmp_path))
    codes = found.label_codes or range(len(found.class_names))
    if name == "coco_stuff_27":
        codes = [*codes[:182], codes[255]]
    assert set(codes) - {IGNORE} == set(range(len(found.class_names)))


def test_coco_stuff_27_is_the_mapping_of_the_field():
    """Ids of the 182 a coarse class; the digest is that of the table in STEGO's code."""
    codes = a(tuple, coco_stuff.DATA_SETS[0].codes)
    counts = Counter(codes[:182])
    assert [counts[i] for i in range(12)] == [6, 6, 10, 10, 8, 8, 8, 10, 6, 1, 10, 8]
    assert [counts[i] for i in range(12, 27)] == [2, 6, 4, 11, 4, 11, 7, 2, 6, 11, 9, 2, 6, 5, 5]
    digest = hashlib.sha256(bytes(codes[:182])).hexdigest()
    assert digest == "5b6c6ce82fb97a8c2d29cc61a451953c867c5aa043372a5286bbf668351e7129"
    assert codes[255] == IGNORE


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("voc2012", "VOCdevkit"),
        ("voc2012", "VOCdevkit/VOC2012"),
        ("pascal_context", "VOCdevkit"),
        ("pascal_context_60", "VOCdevkit/VOC2010"),
        ("ade20k", "ADEChallengeData2016"),
    ],
)
def test_the_root_may_be_the_inner_folder(tmp_path, name, inner):
    outer = open_set(name, LAYOUTS[name](tmp_path))
    assert open_set(name, tmp_path / inner) == outer


@pytest.mark.parametrize(
    ("name", "looked"),
    [
        ("voc2012", "VOCdevkit/VOC2012/ImageSets/Segmentation"),
        ("pascal_context", "VOC2010/ImageSets/SegmentationContext"),
        ("cityscapes", "leftImg8bit"),
        ("ade20k", "ADEChallengeData2016/images"),
        ("coco_stuff_27", "images"),
        ("imagenet", "train"),
    ],
)
def test_another_folder_is_refused_by_what_it_lacks(tmp_path, name, looked):
    with pytest.raises(UserError, match=f"data.root .* no folder .*{tmp_path}/{looked}"):
        open_set(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "split", "known"),
    [
        ("voc2012", "test", "train, trainaug, trainval, val$"),
        ("voc2012", "person_train", "train, trainaug, trainval, val$"),
        ("pascal_context", "../../../secret", "train, val$"),
        ("cityscapes", "train_extra", "test, train, val$"),
        ("ade20k", "test", "train, training, val, validation$"),
        ("coco_stuff_27", "test2017", "train, train2017, val, val2017$"),
        ("imagenet", "val", "train$"),
    ],
)
def test_an_unknown_split_comes_with_the_known(tmp_path, name, split, known):
    with pytest.raises(UserError, match=rf"{name} has no split '.*'; there are: {known}"):
        open_set(name, LAYOUTS[name](tmp_path), split)


def test_without_trainaug_there_is_no_train_split_of_voc2012_aug(tmp_path):
    root = voc_layout(tmp_path) / "VOCdevkit" / "VOC2012"
    (root / "ImageSets" / "Segmentation" / "trainaug.txt").unlink()
    with pytest.raises(UserError, match=r"has no split 'train'; there are: train, trainval, val$"):
        open_set("voc2012_aug", root)


LABEL_FOLDERS = {
    "pascal_context": "VOCdevkit/VOC2010/SegmentationClassContext",
    "pascal_context_60": "VOCdevkit/VOC2010/SegmentationClassContext",
    "cityscapes": "gtFine/train",
    "cityscapes_19": "gtFine/train",
    "ade20k": "ADEChallengeData2016/annotations/training",
    "voc2012": "VOCdevkit/VOC2012/SegmentationClass",
    "voc2012_aug": "VOCdevkit/VOC2012/SegmentationClassAug",
    "coco_stuff_27": "annotations/train2017",
}


@pytest.mark.parametrize("name", LABELED)
def test_training_needs_no_label_folder(tmp_path, name):
    root = LAYOUTS[name](tmp_path)
    (root / LABEL_FOLDERS[name]).rename(root / "elsewhere")
    found = open_set(name, root)
    assert len(found.files) >= 2
    assert {file.label for file in found.files} == {None}
    with pytest.raises(UserError, match="have no label"):
        require_labels(found)


@pytest.mark.parametrize("name", LABELED)
def test_opening_reads_no_label(tmp_path, name):
    root = LAYOUTS[name](tmp_path)
    for file in (root / LABEL_FOLDERS[name]).rglob("*.png"):
        file.write_bytes(b"not an image")
    assert len(open_set(name, root).files) >= 2


@pytest.mark.parametrize("name", LABELED)
def test_one_label_missing(tmp_path, name):
    root = LAYOUTS[name](tmp_path)
    whole = open_set(name, root)
    gone = Path(whole.files[1].label or "")
    gone.unlink()
    count = rf"1 of {len(whole.files)} images have no label in .*{LABEL_FOLDERS[name]}"
    with pytest.raises(UserError, match=rf"do not pair up: {count}; the first is .*{gone.name}$"):
        open_set(name, root)


@pytest.mark.parametrize("name", ["ade20k", "cityscapes"])
def test_labels_without_an_image(tmp_path, name):
    root = LAYOUTS[name](tmp_path)
    whole = open_set(name, root)
    Path(whole.files[0].path).unlink()
    with pytest.raises(UserError, match=r"1 of 2 labels have no image in ") as caught:
        open_set(name, root)
    assert str(caught.value).endswith(Path(whole.files[0].label or "").name)


def test_missing_and_surplus_are_told_at_once(tmp_path):
    base = ade20k_layout(tmp_path) / "ADEChallengeData2016"
    labels = base / "annotations" / "training"
    (labels / "ADE_train_2.png").rename(labels / "ADE_train_7.png")
    label(labels / "ADE_train_9.png", 0)
    with pytest.raises(UserError) as caught:
        open_set("ade20k", base)
    assert str(caught.value) == (
        "images and labels do not pair up: "
        f"1 of 2 images have no label in {labels}; the first is ADE_train_2.png. "
        f"2 of 3 labels have no image in {base}/images/training; the first is ADE_train_7.png"
    )


@pytest.mark.parametrize("name", ["voc2012", "pascal_context", "coco_stuff_27"])
def test_listed_images_that_are_not_there(tmp_path, name):
    """Labels that no list names are no fault: a folder serves all splits."""
    root = LAYOUTS[name](tmp_path)
    whole = open_set(name, root)
    Path(whole.files[0].path).unlink()
    first = whole.files[0].name
    with pytest.raises(UserError, match=rf"1 of 2 listed images are not in .* first is {first}$"):
        open_set(name, root)


def test_an_empty_list_and_an_empty_folder(tmp_path):
    base = voc_layout(tmp_path) / "VOCdevkit" / "VOC2012"
    (base / "ImageSets" / "Segmentation" / "val.txt").write_text("\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"val.txt names no image"):
        open_set("voc2012", base, "val")
    (tmp_path / "set" / "train" / "n01").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no image in .*/set/train \(looked for \*\.JPEG\)"):
        open_set("imagenet", tmp_path / "set")


def test_coco_without_lists_is_every_image(tmp_path):
    root = coco_layout(tmp_path)
    (root / "curated").rename(root / "elsewhere")
    assert len(open_set("coco_stuff_27", root).files) == 3
    (root / "images" / "train2017" / "000000000003.jpg").unlink()
    with pytest.raises(UserError, match="1 of 3 labels have no image"):
        open_set("coco_stuff_27", root)


def test_hidden_files_are_no_images(tmp_path):
    root = imagenet_layout(tmp_path)
    images(root / "train", "n01/._n01_2.JPEG", ".cache/x.JPEG")
    assert len(open_set("imagenet", root).files) == 3


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_an_address_is_as_good_as_a_path(tmp_path, name):
    here = open_set(name, LAYOUTS[name](tmp_path))
    there = open_set(name, f"file://{tmp_path}/")
    assert names(there) == names(here)
    assert [file.path for file in there.files] == [f"file://{file.path}" for file in here.files]
    assert there.class_names == here.class_names
    if name != "imagenet":
        assert classes_of(there) == classes_of(here)


def test_an_object_store(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    here = open_set("cityscapes", cityscapes_layout(tmp_path), "val")
    memory, bucket = fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}"
    for path in tmp_path.rglob("*.*"):
        memory.pipe(f"{bucket}/{path.relative_to(tmp_path).as_posix()}", path.read_bytes())
    there = open_set("cityscapes", f"fsspec+memory://{bucket}", "val")
    assert names(there) == names(here)
    assert classes_of(there) == classes_of(here)
    assert read_bytes(there.files[0].path) == Path(here.files[0].path).read_bytes()
    with pytest.raises(UserError, match=r"no folder fsspec\+memory://.*/train$"):
        open_set("imagenet", f"fsspec+memory://{bucket}")
    memory.rm(bucket, recursive=True)


@pytest.mark.parametrize("name", LABELED)
def test_folders_are_listed_and_files_not_asked_for(tmp_path, monkeypatch, name):
    """As many requests for a set of any size: a million files on a store would take hours."""
    from raynef.images.datasets import layout

    root, requests = LAYOUTS[name](tmp_path), []
    for asked in ("list_files", "is_folder"):
        real = getattr(layout, asked)

        def counting(*args, asked=asked, real=real, **kwargs):
            requests.append((asked, args))
            return real(*args, **kwargs)

        monkeypatch.setattr(layout, asked, counting)
    open_set(name, root)
    lists = [
        args for asked, args in requests if asked == "list_files" and "ImageSets" in str(args[0])
    ]
    assert len(lists) <= 1
    assert len(requests) - len(lists) <= 5  # up to three places for the root, images, labels
    assert len(set(requests)) == len(requests)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cityscape", "'cityscape' is no data set; did you mean cityscapes"),
        ("voc2007", "did you mean voc2012"),
    ],
)
def test_an_unknown_data_set_comes_with_the_nearest(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        open_set(name, tmp_path)
