"""Boxes in the layouts of VOC and COCO, tiny: corners, what counts as an object, broken copies."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.config.recipe import Data
from raynef.core.errors import UserError
from raynef.images.datasets.boxes import has_boxes, read_boxes, require_boxes
from raynef.images.datasets.imageset import ImageFile, ImageSet
from raynef.images.datasets.registry import open_split

TWO_OBJECTS = """<annotation>
  <folder>VOC2007</folder><size><width>6</width><height>4</height><depth>3</depth></size>
  <object>
    <name>person</name><difficult>0</difficult>
    <part><name>head</name><bndbox><xmin>2</xmin><ymin>1</ymin><xmax>2</xmax><ymax>1</ymax></bndbox>
    </part>
    <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>6</xmax><ymax>4</ymax></bndbox>
  </object>
  <object>
    <name>dog</name><difficult>1</difficult>
    <bndbox><xmax>4</xmax><xmin>3</xmin><ymax>2.5</ymax><ymin>2</ymin></bndbox>
  </object>
</annotation>"""


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4)).save(path)


def annotated(path: Path, text: str = TWO_OBJECTS) -> ImageFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return ImageFile(f"{path.stem}.jpg", f"{path.stem}.jpg", annotation=str(path))


def voc(base: Path, **lists: str) -> Path:
    """Annotated images a to d, and lists of stems."""
    for stem in "abcd":
        image(base / "JPEGImages" / f"00000{stem}.jpg")
        annotated(base / "Annotations" / f"00000{stem}.xml")
    (base / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
    for split, stems in lists.items():
        text = "".join(f"00000{stem}\n" for stem in stems.split())
        (base / "ImageSets" / "Main" / f"{split}.txt").write_text(text, encoding="utf-8")
    return base


def voc_kit(root: Path, year: str = "2007") -> Path:
    base = voc(root / "VOCdevkit" / f"VOC{year}", train="b", val="a", trainval="b a", test="d")
    (base / "ImageSets" / "Main" / "dog_trainval.txt").write_text("00000a -1\n", encoding="utf-8")
    return root


COCO_NAMES = {9: "COCO_train2014_000000000009", 25: "COCO_train2014_000000000025"}


def coco(root: Path, *, images: str = "train2014", instances: str = "annotations") -> Path:
    """Images 9 and 25, and 30, which the list leaves out; 9 has two objects, a crowd and a line."""
    for stem in (*COCO_NAMES.values(), "COCO_train2014_000000000030"):
        image(root / images / f"{stem}.jpg")
    drawn = [
        {"image_id": 9, "bbox": [1.5, 0, 2, 3.25], "iscrowd": 0, "segmentation": [[1.5, 0, 2, 3]]},
        {"image_id": 30, "bbox": [0, 0, 1, 1], "iscrowd": 0, "segmentation": []},
        {"image_id": 9, "bbox": [0, 0, 6, 4], "iscrowd": 1, "segmentation": {"counts": [24]}},
        {"image_id": 9, "bbox": [0, 2, 6, 0], "iscrowd": 0, "segmentation": []},
        {"image_id": 9, "bbox": [0, 1, 1, 1], "iscrowd": 0, "segmentation": []},
    ]
    records = [{"id": i, "file_name": f"COCO_train2014_{i:012d}.jpg"} for i in (25, 9, 30)]
    path = root / instances / "instances_train2014.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": records, "annotations": drawn}), encoding="utf-8")
    return listed(root, *(f"train2014/{COCO_NAMES[i]}.jpg" for i in (25, 9)))


def listed(root: Path, *lines: str) -> Path:
    text = "".join(f"{line}\n" for line in lines)
    (root / "coco_20k_filenames.txt").write_text(text, encoding="utf-8")
    return root


BOXED = {
    "voc2007_boxes": voc_kit,
    "voc2012_boxes": lambda root: voc_kit(root, "2012"),
    "voc_boxes": lambda root: voc(root, trainval="b a"),
    "coco_20k": coco,
}


def open_set(name: str, root: Path | str, split: str = "trainval") -> ImageSet:
    return open_split(Data(name=name, root=str(root)), split)


def names(found: ImageSet) -> list[str]:
    return [file.name for file in found.files]


# --------------------------------------------------------------------------------- one annotation


def test_voc_corners_count_from_1_and_are_inside(tmp_path):
    """The first object fills the image of 6×4 pixels; a part's box is no object's."""
    boxes = read_boxes(annotated(tmp_path / "x.xml"))
    assert boxes.dtype == np.float64
    np.testing.assert_array_equal(boxes, [[0, 0, 6, 4], [2, 1, 4, 2.5]])


def test_difficult_objects_are_kept_unless_asked_otherwise(tmp_path):
    file = annotated(tmp_path / "x.xml")
    np.testing.assert_array_equal(read_boxes(file, difficult=False), [[0, 0, 6, 4]])
    unsaid = TWO_OBJECTS.replace("<difficult>1</difficult>", "")
    assert len(read_boxes(annotated(tmp_path / "y.xml", unsaid), difficult=False)) == 2


def test_an_object_of_one_pixel_has_area(tmp_path):
    one = TWO_OBJECTS.replace("<xmax>6", "<xmax>1").replace("<ymax>4", "<ymax>1")
    assert read_boxes(annotated(tmp_path / "x.xml", one))[0].tolist() == [0, 0, 1, 1]


def test_no_object_is_no_fault(tmp_path):
    assert read_boxes(annotated(tmp_path / "x.xml", "<annotation/>")).shape == (0, 4)
    assert read_boxes(ImageFile("x.jpg", "x.jpg", boxes=())).shape == (0, 4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<xmin>1", "<xmin>7", r"box 1 of 2 must have x0 < x1 .* got \[6.0, 0.0, 6.0, 4.0\]$"),
        ("<ymin>2", "<ymin>nan", r"box 2 of 2 must have .* all finite"),
        ("<xmax>4", "<xmax>inf", r"box 2 of 2 must have .* all finite"),
        ("<xmax>4</xmax>", "", "object 2 must have a <bndbox> with the numbers xmin, ymin"),
        ("<xmin>3", "<xmin>three", "object 2 must have a <bndbox> with the numbers"),
        ("</object>", "", "is no XML: "),
        ("annotation>", "labels>", "must hold an <annotation> of VOC, got <labels>"),
        (
            "<annotation>",
            '<!DOCTYPE a [<!ENTITY b "ha">]><annotation>',
            "has a DOCTYPE, which no annotation needs",
        ),
    ],
)
def test_a_malformed_annotation_is_named(tmp_path, old, new, message):
    assert old in TWO_OBJECTS
    file = annotated(tmp_path / "x.xml", TWO_OBJECTS.replace(old, new))
    with pytest.raises(UserError, match=rf"/x\.xml:? {message}"):
        read_boxes(file)


def test_entities_do_not_expand_in_another_encoding(tmp_path):
    bomb = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "ha">]><a>&b;</a>'
    (tmp_path / "x.xml").write_bytes(bomb.encode("utf-16"))
    with pytest.raises(UserError, match=r"x\.xml cannot be read"):
        read_boxes(ImageFile("x.jpg", "x.jpg", annotation=str(tmp_path / "x.xml")))


def test_a_missing_annotation_is_named(tmp_path):
    with pytest.raises(UserError, match=r"/gone\.xml cannot be read: .*No such file"):
        read_boxes(ImageFile("x.jpg", "x.jpg", annotation=str(tmp_path / "gone.xml")))
    with pytest.raises(UserError, match=r"^x\.jpg comes without boxes$"):
        read_boxes(ImageFile("x.jpg", "x.jpg"))


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.0, 1.0), (0.0, 0.0, float("inf"), 1.0)])
def test_boxes_of_a_loader_are_looked_at_too(box):
    with pytest.raises(UserError, match=r"^x\.jpg: box 2 of 2 must have"):
        read_boxes(ImageFile("x.jpg", "x.jpg", boxes=((0.0, 0.0, 1.0, 1.0), box)))


def test_boxes_are_required_of_every_image():
    with_boxes, without = ImageFile("a.jpg", "a", boxes=()), ImageFile("b.jpg", "b", label="b.png")
    assert has_boxes(ImageSet("/set", None, (without, with_boxes)))
    assert not has_boxes(ImageSet("/set", None, (without,)))
    require_boxes(ImageSet("/set", None, (with_boxes, with_boxes)))
    with pytest.raises(UserError, match=r"^1 of 2 images under /set have no boxes; .* b\.jpg\."):
        require_boxes(ImageSet("/set", None, (with_boxes, without)))


# ------------------------------------------------------------------------------------- data sets


@pytest.mark.parametrize(
    ("split", "stems"), [("train", "b"), ("val", "a"), ("trainval", "ba"), ("test", "d")]
)
@pytest.mark.parametrize("year", ["2007", "2012"])
def test_voc_splits(tmp_path, year, split, stems):
    name = f"voc{year}_boxes"
    found = open_set(name, BOXED[name](tmp_path), split)
    assert (found.name, found.split) == (name, split)
    assert names(found) == [f"00000{stem}.jpg" for stem in stems]
    assert {file.label for file in found.files} == {None}
    require_boxes(found)
    assert [Path(file.annotation or "").stem for file in found.files] == [
        f"00000{stem}" for stem in stems
    ]


def test_lists_of_one_class_are_no_splits(tmp_path):
    known = "test, train, trainval, val$"
    with pytest.raises(UserError, match=f"no split 'dog_trainval'; there are: {known}"):
        open_set("voc2007_boxes", voc_kit(tmp_path), "dog_trainval")


@pytest.mark.parametrize("inner", ["VOCdevkit", "VOCdevkit/VOC2007"])
def test_the_root_may_be_the_inner_folder(tmp_path, inner):
    outer = open_set("voc2007_boxes", voc_kit(tmp_path))
    assert open_set("voc2007_boxes", tmp_path / inner) == outer
    if inner.endswith("VOC2007"):
        own = open_set("voc_boxes", tmp_path / inner)
        assert (own.files, own.split) == (outer.files, "trainval")


@pytest.mark.parametrize("name", ["voc2007_boxes", "voc2012_boxes", "voc_boxes"])
def test_another_folder_is_refused_by_what_it_lacks(tmp_path, name):
    with pytest.raises(UserError, match=f"there is no folder {tmp_path}/ImageSets/Main"):
        open_set(name, tmp_path)


def test_the_only_list_of_a_set_of_ones_own_is_each_split(tmp_path):
    root = voc(tmp_path, trainval="b a")
    for split in ("train", "val", "trainval", None):
        found = open_split(Data(name="voc_boxes", root=str(root)), split)
        assert (found.split, len(found.files)) == ("trainval", 2)
    with pytest.raises(UserError, match=r"no split 'test'; there are: train, trainval, val$"):
        open_set("voc_boxes", root, "test")
    voc(tmp_path, trainval="b a", val="a")
    with pytest.raises(UserError, match=r"no split 'train'; there are: trainval, val$"):
        open_set("voc_boxes", root, "train")


def test_images_and_annotations_pair_up(tmp_path):
    base = voc(tmp_path, trainval="b a c")
    (base / "Annotations" / "00000a.xml").unlink()
    (base / "JPEGImages" / "00000c.jpg").unlink()
    with pytest.raises(UserError) as caught:
        open_set("voc_boxes", base)
    assert str(caught.value) == (
        "images and annotations do not pair up: "
        f"1 of 3 listed images are not in {base}/JPEGImages; the first is 00000c.jpg. "
        f"1 of 3 images have no annotation in {base}/Annotations; the first is 00000a.xml"
    )


def test_images_without_any_annotation_are_images_still(tmp_path):
    base = voc(tmp_path, trainval="b a")
    (base / "Annotations").rename(base / "elsewhere")
    found = open_set("voc_boxes", base)
    assert len(found.files) == 2
    assert not has_boxes(found)
    with pytest.raises(UserError, match=r"2 of 2 images .* have no boxes; .* 00000b\.jpg"):
        require_boxes(found)


def test_an_empty_list(tmp_path):
    with pytest.raises(UserError, match=r"trainval\.txt names no image"):
        open_set("voc_boxes", voc(tmp_path, trainval=""))
    with pytest.raises(UserError, match=r"coco_20k_filenames\.txt names no image"):
        open_set("coco_20k", listed(coco(tmp_path)))


@pytest.mark.parametrize("split", ["train2014", "train", "val", "trainval", None])
def test_coco_20k(tmp_path, split):
    """Without crowds and without a box of no height; in the order of the list."""
    found = open_split(Data(name="coco_20k", root=str(coco(tmp_path))), split)
    assert (found.name, found.split) == ("coco_20k", "train2014")
    assert names(found) == [f"{COCO_NAMES[i]}.jpg" for i in (25, 9)]
    require_boxes(found)
    assert read_boxes(found.files[0]).shape == (0, 4)
    np.testing.assert_array_equal(read_boxes(found.files[1]), [[1.5, 0, 3.5, 3.25], [0, 1, 1, 2]])


def test_coco_20k_in_its_other_places(tmp_path):
    found = open_set("coco_20k", coco(tmp_path / "a"))
    other = open_set("coco_20k", coco(tmp_path / "b", images="images/train2014", instances=""))
    assert names(other) == names(found)
    assert [file.boxes for file in other.files] == [file.boxes for file in found.files]


@pytest.mark.parametrize("form", ["{}", "000000000{:03d}.jpg", "COCO_train2014_{:012d}"])
def test_the_list_of_coco_20k_may_hold_ids(tmp_path, form):
    root = listed(coco(tmp_path), *(form.format(i) for i in (9, 25)))
    assert names(open_set("coco_20k", root)) == [f"{COCO_NAMES[i]}.jpg" for i in (9, 25)]


def test_what_coco_20k_may_lack(tmp_path):
    root = coco(tmp_path)
    with pytest.raises(UserError, match="no split 'val2014'; there are: train, train2014, "):
        open_set("coco_20k", root, "val2014")
    listed(root, "9", "26")
    with pytest.raises(UserError, match=r"1 of 2 listed images are not in .*000026\.jpg$"):
        open_set("coco_20k", root)
    image(root / "train2014" / "COCO_train2014_000000000026.jpg")
    with pytest.raises(UserError, match=r"1 of 2 .* not in .*instances_train2014\.json; .*026.jpg"):
        open_set("coco_20k", root)
    (root / "coco_20k_filenames.txt").unlink()
    with pytest.raises(UserError, match=r"coco_20k_filenames\.txt cannot be read"):
        open_set("coco_20k", root)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ('{"images": []}', "KeyError: 'annotations'"),
        (
            '{"images": [{"id": 1, "file_name": "1.jpg"}],'
            ' "annotations": [{"image_id": 1, "bbox": [1, 2, 3], "iscrowd": 0}]}',
            "ValueError",
        ),
    ],
)
def test_instances_that_are_none(tmp_path, content, reason):
    root = coco(tmp_path)
    path = root / "annotations" / "instances_train2014.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"{path} does not hold the instances of COCO \({reason}"):
        open_set("coco_20k", root)
    path.unlink()
    with pytest.raises(UserError, match=f"there is no {path} or {root}/instances_train2014.json"):
        open_set("coco_20k", root)


@pytest.mark.parametrize("name", sorted(BOXED))
def test_an_address_is_as_good_as_a_path(tmp_path, name):
    here = open_set(name, BOXED[name](tmp_path))
    there = open_set(name, f"file://{tmp_path}/")
    assert names(there) == names(here)
    for ours, theirs in zip(here.files, there.files, strict=True):
        np.testing.assert_array_equal(read_boxes(theirs), read_boxes(ours))


def test_coco_photographs_in_the_layout_of_voc(shared_dir):
    root = shared_dir / "data" / "coco128"
    if not root.is_dir():
        pytest.skip(f"there is no {root}")
    found = open_set("voc_boxes", root)
    boxes = [read_boxes(file) for file in found.files]
    assert len(boxes) == 256
    assert sum(map(len, boxes)) == 1827
    with Image.open(found.files[0].path) as first:
        assert (boxes[0] >= 0).all()
        assert (boxes[0][:, 2:] <= first.size).all()
