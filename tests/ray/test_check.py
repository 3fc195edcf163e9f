"""What a look at a data set finds: every kind of problem, planted one by one."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.config.recipe import Data
from raynef.core import IGNORE
from raynef.core.errors import UserError
from raynef.jobs import check as module
from raynef.jobs import look
from raynef.jobs.check import check_data
from tests.s3_server import s3_server

SKY, ROAD, CAR = range(3)


def put(root: Path, stem: str, *, label: np.ndarray | None, size: tuple[int, int] = (8, 4)) -> None:
    """One image of (width, height), and its label."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "labels").mkdir(exist_ok=True)
    Image.new("RGB", size, (9, 99, 199)).save(root / "images" / f"{stem}.jpg")
    if label is not None:
        Image.fromarray(label.astype(np.uint8)).save(root / "labels" / f"{stem}.png")


def halves(left: int, right: int) -> np.ndarray:
    """A label of 8×4 pixels with two classes."""
    label = np.full((4, 8), left)
    label[:, 4:] = right
    return label


def lists(root: Path, **splits: str) -> Path:
    for split, stems in splits.items():
        (root / f"{split}.txt").write_text("\n".join(stems.split()), encoding="utf-8")
    return root


@pytest.fixture
def healthy(tmp_path) -> Path:
    """Two images to train on, one of another size to evaluate on; three classes."""
    root = tmp_path / "set"
    put(root, "a", label=halves(SKY, ROAD))
    put(root, "b", label=halves(CAR, IGNORE))
    put(root, "c", label=np.full((10, 6), SKY), size=(6, 10))
    (root / "classes.txt").write_text("sky\nroad\ncar\n", encoding="utf-8")
    return lists(root, train="a b", val="c")


def by_kind(result: dict) -> dict[tuple[str | None, str], dict]:
    return {(problem["split"], problem["kind"]): problem for problem in result["problems"]}


@pytest.mark.usefixtures("local_ray")
def test_a_healthy_set(healthy, caplog):
    with caplog.at_level("INFO", "raynef"):
        result = check_data(Data(root=str(healthy)))
    assert result["ok"]
    train, val = result["splits"]["train"], result["splits"]["val"]
    assert (train["num_images"], train["num_labels"]) == (2, 2)
    assert train["classes"] == {"sky": 0.333333, "road": 0.333333, "car": 0.333333}
    assert train["ignored"] == 0.25
    assert train["sizes"] == {"min": [8, 4], "median": [8, 4], "max": [8, 4]}
    assert val["sizes"]["max"] == [6, 10]
    assert val["classes"] == {"sky": 1.0, "road": 0.0, "car": 0.0}
    assert [(p["split"], p["kind"], p["first"]) for p in result["problems"]] == [
        ("val", module.ABSENT, ["road", "car"])
    ]
    rows = [line.split() for line in caplog.records[-1].getMessage().splitlines()]
    assert ["images", "2", "1"] in rows
    assert ["size,", "max", "8x4", "6x10"] in rows
    assert ["sky", "33.33", "%", "100.00", "%"] in rows
    assert ["ignored", "25.00", "%", "0.00", "%"] in rows


@pytest.mark.usefixtures("local_ray")
def test_every_problem_is_counted_and_named(healthy, caplog):
    put(healthy, "other", label=np.zeros((4, 9)))
    put(healthy, "strange", label=halves(SKY, 7))
    put(healthy, "bare", label=None)
    put(healthy, "torn", label=halves(SKY, SKY))
    (healthy / "labels" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    broken = [f"broken{i:02d}" for i in range(23)]
    for stem in broken:
        put(healthy, stem, label=halves(ROAD, ROAD))
        (healthy / "images" / f"{stem}.jpg").write_text("no image")
    lists(healthy, train="a b other strange bare torn " + " ".join(broken), val="c a")
    with caplog.at_level("INFO", "raynef"):
        result = check_data(Data(root=str(healthy)))
    assert not result["ok"]
    found = by_kind(result)
    assert {key: (p["count"], p["stops"]) for key, p in found.items()} == {
        ("train", look.BAD_IMAGE): (23, True),
        ("train", look.NO_LABEL): (1, True),
        ("train", look.BAD_LABEL): (1, True),
        ("train", look.OTHER_SIZE): (1, True),
        ("train", look.NO_CLASS): (1, True),
        ("val", module.ABSENT): (1, False),
        (None, module.IN_BOTH): (1, False),
    }
    images = found["train", look.BAD_IMAGE]["first"]
    assert images == [f"{stem}.jpg: not an image" for stem in broken[:20]]
    assert "9x4, its image 8x4" in found["train", look.OTHER_SIZE]["first"][0]
    assert "strange.jpg: 16 pixels hold no class" in found["train", look.NO_CLASS]["first"][0]
    assert "bare.png is missing" in found["train", look.NO_LABEL]["first"][0]
    assert found["train", look.BAD_LABEL]["first"][0].startswith("torn.jpg: ")
    assert found["val", module.ABSENT]["first"] == ["car"]
    assert found[None, module.IN_BOTH]["first"] == ["a.jpg"]
    assert [problem["stops"] for problem in result["problems"]] == [True] * 5 + [False] * 2
    said = caplog.records[-1].getMessage()
    assert "PROBLEM  train: unreadable image (23 times)\n" in said
    assert "… and 3 more" in said


@pytest.mark.usefixtures("local_ray")
def test_few_unreadable_images_are_no_reason_to_fail(healthy):
    (healthy / "images" / "a.jpg").write_bytes(b"")
    result = check_data(Data(root=str(healthy)))
    assert result["ok"]
    assert by_kind(result)["train", look.BAD_IMAGE]["first"] == ["a.jpg: empty file"]
    (healthy / "images" / "b.jpg").write_bytes(b"")
    assert not check_data(Data(root=str(healthy)))["ok"]  # not one is left


@pytest.mark.usefixtures("local_ray")
def test_a_set_without_labels_needs_none(tmp_path):
    for stem in "ab":
        put(tmp_path / "set", stem, label=None)
    result = check_data(Data(root=str(tmp_path / "set")))
    assert result["ok"]
    assert result["splits"]["train"]["classes"] == {}
    assert result["splits"]["train"]["ignored"] is None
    assert [(p["kind"], p["count"]) for p in result["problems"]] == [(module.IN_BOTH, 2)]


@pytest.mark.usefixtures("local_ray")
def test_an_unlabeled_training_split_beside_a_labeled_one(healthy):
    for stem in "ab":
        (healthy / "labels" / f"{stem}.png").unlink()
    result = check_data(Data(root=str(healthy)))
    assert result["ok"]
    assert result["splits"]["train"]["num_labels"] == 0


@pytest.mark.usefixtures("local_ray")
def test_one_split_that_does_not_open(healthy):
    result = check_data(Data(root=str(healthy), val_split="tset"))
    problem = by_kind(result)["val", module.NOT_OPEN]
    assert problem["stops"]
    assert "has no tset.txt" in problem["first"][0]
    assert list(result["splits"]) == ["train"]
    for label in (healthy / "labels").iterdir():
        label.unlink()
    assert check_data(Data(root=str(healthy), val_split="tset"))["ok"]  # nothing to evaluate


@pytest.mark.usefixtures("local_ray")
def test_label_values_of_a_benchmark_go_through_its_codes(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2010"
    put(tmp_path, "x", label=halves(0, 59))  # background, ignored; and the last class
    put(tmp_path, "y", label=halves(1, 60))
    (root / "ImageSets/SegmentationContext").mkdir(parents=True)
    (tmp_path / "images").rename(root / "JPEGImages")
    (tmp_path / "labels").rename(root / "SegmentationClassContext")
    lists(root / "ImageSets/SegmentationContext", train="x", val="y")
    result = check_data(Data(name="pascal_context", root=str(tmp_path)))
    train = result["splits"]["train"]
    assert train["ignored"] == 0.5
    assert {name for name, share in train["classes"].items() if share} == {"wood"}
    problem = by_kind(result)["val", look.NO_CLASS]
    assert problem["stops"]
    assert "known are 0 to 59)" in problem["first"][0]
    assert by_kind(result)["train", module.ABSENT]["count"] == 58


def voc_boxes(root: Path, **annotations: str) -> Path:
    """Images of 8×4 pixels with the annotation of each, in one list."""
    for stem, text in annotations.items():
        put(root, stem, label=None)
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{stem}.xml").write_text(text, encoding="utf-8")
    (root / "images").rename(root / "JPEGImages")
    (root / "ImageSets/Main").mkdir(parents=True)
    lists(root / "ImageSets/Main", trainval=" ".join(annotations))
    return root


BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>8</xmax><ymax>4</ymax></bndbox>"
OBJECT = f"<object>{BOX}</object>"


@pytest.mark.usefixtures("local_ray")
def test_boxes_of_the_one_split_are_counted_once(tmp_path, caplog):
    root = voc_boxes(
        tmp_path / "set",
        a=f"<annotation>{OBJECT}</annotation>",
        b=f"<annotation>{OBJECT * 2}</annotation>",
    )
    with caplog.at_level("INFO", "raynef"):
        result = check_data(Data(name="voc_boxes", root=str(root)))
    assert result["ok"]
    assert result["problems"] == []
    assert list(result["splits"]) == ["trainval"]
    split = result["splits"]["trainval"]
    assert (split["num_images"], split["num_boxes"], split["boxes_per_image"]) == (2, 3, 1.5)
    rows = [line.split() for line in caplog.records[-1].getMessage().splitlines()]
    assert ["boxes", "3"] in rows
    assert ["per", "image", "1.5"] in rows


@pytest.mark.usefixtures("local_ray")
def test_annotations_that_cannot_be_read_and_images_without_an_object(tmp_path):
    root = voc_boxes(
        tmp_path / "set",
        a=f"<annotation>{OBJECT}</annotation>",
        b="<annotation/>",
        c="<annotation>",
        d=f"<!DOCTYPE annotation><annotation>{OBJECT}</annotation>",
    )
    result = check_data(Data(name="voc_boxes", root=str(root)))
    assert not result["ok"]
    split = result["splits"]["trainval"]
    assert (split["num_images"], split["num_boxes"], split["boxes_per_image"]) == (4, 1, 0.5)
    found = by_kind(result)
    assert {key: (p["count"], p["stops"]) for key, p in found.items()} == {
        ("trainval", look.BAD_BOXES): (2, True),
        ("trainval", look.NO_OBJECT): (1, False),
    }
    assert found["trainval", look.NO_OBJECT]["first"] == ["b.jpg"]
    assert "c.xml is no XML" in found["trainval", look.BAD_BOXES]["first"][0]


@pytest.mark.usefixtures("local_ray")
def test_masks_are_read_as_masks(tmp_path):
    put(tmp_path, "a", label=halves(0, 255))
    put(tmp_path, "b", label=halves(0, 127))
    (tmp_path / "labels").rename(tmp_path / "ground_truth_mask")
    result = check_data(Data(name="ecssd", root=str(tmp_path)))
    assert result["ok"]
    split = result["splits"]["test"]
    assert (split["num_images"], split["num_labels"]) == (2, 2)
    assert split["classes"] == {"background": 0.75, "foreground": 0.25}
    assert (split["num_boxes"], split["boxes_per_image"]) == (0, None)


@pytest.mark.usefixtures("local_ray")
def test_a_set_at_an_address_is_shown_without_its_keys(healthy, caplog):
    (healthy / "labels" / "b.png").unlink()
    here = check_data(Data(root=str(healthy)))
    with s3_server(healthy) as server, caplog.at_level("INFO", "raynef"):
        there = check_data(Data(root=server.address()))
    assert there["root"] == "s3://bucket"
    assert there["splits"] == here["splits"]
    assert [p["kind"] for p in there["problems"]] == [p["kind"] for p in here["problems"]]
    missing = by_kind(there)["train", look.NO_LABEL]["first"]
    assert missing == ["b.jpg: label s3://bucket/labels/b.png is missing"]
    assert not any("s3cret" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Data(name="foldr", root="x"), "did you mean folder"),
        (Data(root="/nowhere/at/all"), "^data.root '/nowhere/at/all' is not a folder$"),
        (Data(root="x", max_bad_fraction=2.0), "data.max_bad_fraction must be in"),
    ],
)
def test_a_wrong_name_or_place(data, message):
    with pytest.raises(UserError, match=message):
        check_data(data)


def test_classes_of_values_that_files_may_hold():
    label = np.array([[-1, 0, 2, 3, IGNORE, 254, 70_000]])
    named = look.pixels_of_classes(label, None, 3)
    assert named == {0: 1, 2: 1, IGNORE: 1, None: 4}
    assert look.pixels_of_classes(label, None, 0) == {0: 1, 2: 1, 3: 1, 254: 1, IGNORE: 1, None: 2}
    codes = (IGNORE, IGNORE, 1, 7)
    assert look.pixels_of_classes(label, codes, 3) == {IGNORE: 1, 1: 1, None: 5}


def test_sizes_are_taken_side_by_side():
    sizes = module._sizes(module.Counter({(10, 1): 1, (20, 7): 2, (30, 3): 2}))
    assert sizes == {"min": [10, 1], "median": [20, 3], "max": [30, 7]}
