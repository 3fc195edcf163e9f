"""Every format, read back by what reads it elsewhere, gives the map that it was made of."""

import json
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from raynef.stores.formats.base import Categories, Collected, Entry, Labeled
from raynef.stores.formats.coco import compressed
from raynef.stores.formats.label_studio import packed
from raynef.stores.formats.regions import run_lengths
from raynef.stores.formats.registry import FORMATS, documents_of, format_of

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40))
NAMED = Categories(12, ("sky & <sea>", "road", "tree"))
PLAIN = Categories(12)


def labeled(name, *, named, size=(37, 53), seed=0):
    """A map of blocks, with pixels without a class where there are classes."""
    draws = np.random.default_rng(seed)
    clusters = draws.integers(0, 12, (size[0] // 5 + 1, size[1] // 7 + 1), dtype=np.uint16)
    clusters = clusters.repeat(5, axis=0).repeat(7, axis=1)[: size[0], : size[1]]
    classes = (clusters.astype(np.int16) % 4 - 1) if named else None
    return Labeled(f"{name}.png", clusters, classes)


@pytest.fixture(params=[True, False], ids=["named", "plain"])
def made(request, tmp_path):
    """Two images of other sizes: their maps by name, and a function that writes a format."""
    categories = NAMED if request.param else PLAIN
    found = {
        "a.jpg": labeled("a", named=request.param),
        "deep/b.jpg": labeled("deep/b", named=request.param, size=(20, 9), seed=1),
    }

    def write(kind):
        record = format_of(kind)
        entries = []
        for name, image in found.items():
            for path, content in record.files(image, categories).items():
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_bytes(content)
            height, width = image.clusters.shape
            own = json.loads(json.dumps(record.entry(image, categories) if record.entry else None))
            entries.append(Entry(name, image.output, f"/photos/{name}", width, height, own))
        for path, document in record.documents.items():
            document(Collected(categories, lambda: iter(entries)), tmp_path / path)
        return tmp_path

    return {name: image.categories for name, image in found.items()}, categories, write


def painted(shape, masks):
    """A map of (category, mask) that do not overlap, -1 elsewhere."""
    map_ = np.full(shape, -1)
    for category, mask in masks:
        assert (map_[mask] == -1).all()
        map_[mask] = category
    return map_


@given(MASKS)
def test_coco_strings_are_those_of_pycocotools(mask):
    coco = pytest.importorskip("pycocotools.mask")
    expected = coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()
    assert compressed(mask) == expected


@pytest.mark.parametrize("length", [1, 15, 16, 31, 32, 511, 1023, 1024, 10**6])
def test_long_runs_in_coco_strings(length):
    coco = pytest.importorskip("pycocotools.mask")
    mask = np.zeros((4, length), dtype=bool)
    mask[1, length // 3 :] = mask[:, -1] = True
    size = list(mask.shape)
    decoded = coco.decode({"size": size, "counts": compressed(mask).encode()})
    np.testing.assert_array_equal(decoded, mask)


@given(MASKS.map(np.ravel))
def test_run_lengths(mask):
    lengths = run_lengths(mask)
    assert lengths.sum() == len(mask)
    assert (lengths[1:] > 0).all()
    np.testing.assert_array_equal(np.arange(len(lengths)).repeat(lengths) % 2, mask)


def test_coco_rle(made):
    maps, categories, write = made
    api = pytest.importorskip("pycocotools.coco")
    coco = api.COCO(write("coco-rle") / "coco_rle.json")
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(categories.names)
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == list(maps)
    for (name, map_), image in zip(maps.items(), coco.getImgIds(), strict=True):
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image]))
        masks = [(a["category_id"] - 1, coco.annToMask(a).astype(bool)) for a in found]
        np.testing.assert_array_equal(painted(map_.shape, masks), map_, err_msg=name)
        for annotation, (_, mask) in zip(found, masks, strict=True):
            rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            box = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert (annotation["area"], annotation["bbox"]) == (mask.sum(), box)


def test_coco_panoptic(made):
    maps, categories, write = made
    folder = write("coco-panoptic")
    found = json.loads((folder / "panoptic.json").read_text())
    assert {category["isthing"] for category in found["categories"]} == {0}
    names = {category["id"]: category["name"] for category in found["categories"]}
    assert list(names.values()) == list(categories.names)
    assert [image["id"] for image in found["images"]] == [
        a["image_id"] for a in found["annotations"]
    ]
    for map_, annotation in zip(maps.values(), found["annotations"], strict=True):
        pixels = np.asarray(Image.open(folder / "panoptic" / annotation["file_name"])).astype(int)
        ids = pixels @ [1, 256, 256**2]
        segments = {s["id"]: s for s in annotation["segments_info"]}
        assert set(np.unique(ids)) - {0} == set(segments)
        masks = [(s["category_id"] - 1, ids == number) for number, s in segments.items()]
        np.testing.assert_array_equal(painted(map_.shape, masks), map_)
        assert all(s["area"] == (ids == number).sum() for number, s in segments.items())


def test_cvat(made):
    maps, categories, write = made
    root = ElementTree.parse(write("cvat") / "cvat.xml").getroot()
    assert root.findtext("version") == "1.1"
    labels = [label.findtext("name") for label in root.iter("label")]
    assert labels == list(categories.names)
    images = root.findall("image")
    assert [(i.get("id"), i.get("name")) for i in images] == [("0", "a.jpg"), ("1", "deep/b.jpg")]
    for image, map_ in zip(images, maps.values(), strict=True):
        assert (int(image.get("height", 0)), int(image.get("width", 0))) == map_.shape
        masks = []
        for mask in image.findall("mask"):
            left, top, width, height = (
                int(mask.get(side, -1)) for side in ("left", "top", "width", "height")
            )
            runs = [int(run) for run in mask.get("rle", "").split(",")]
            whole = np.zeros(map_.shape, dtype=bool)
            inside = (np.arange(len(runs)) % 2).repeat(runs).reshape(height, width)
            whole[top : top + height, left : left + width] = inside
            masks.append((labels.index(mask.get("label")), whole))
        np.testing.assert_array_equal(painted(map_.shape, masks), map_)


def unpacked(content):
    """Label Studio's decoder, from its description: values, row by row."""
    bits = "".join(f"{byte:08b}" for byte in content)
    at = 0

    def read(count):
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    total, width = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        repeated, length = read(1), read(sizes[read(2)]) + 1
        values += [read(width)] * length if repeated else [read(width) for _ in range(length)]
    assert len(values) == total
    return np.array(values, dtype=np.uint8)


@given(MASKS)
def test_label_studio_strings(mask):
    values = unpacked(packed(mask)).reshape(*mask.shape, 4)
    np.testing.assert_array_equal(values, mask[..., None].repeat(4, axis=-1) * 255)


def test_label_studio_runs_longer_than_a_length_can_say():
    mask = np.zeros((300, 300), dtype=bool)
    mask[150:] = True
    np.testing.assert_array_equal(unpacked(packed(mask)).reshape(-1, 4)[:, 0] > 0, mask.ravel())


def test_label_studio(made):
    maps, categories, write = made
    folder = write("label-studio")
    interface = ElementTree.parse(folder / "label_studio.xml").getroot()
    assert [label.get("value") for label in interface.iter("Label")] == list(categories.names)
    tools = {element.get("name"): element for element in interface}
    tasks = json.loads((folder / "label_studio.json").read_text())
    local = "/data/local-files/?d="
    assert [task["data"]["image"] for task in tasks] == [local + name for name in maps]
    for task, map_ in zip(tasks, maps.values(), strict=True):
        (prediction,) = task["predictions"]
        masks = []
        for result in prediction["result"]:
            assert tools[result["from_name"]].tag.lower() == result["type"]
            assert tools[result["from_name"]].get("toName") == result["to_name"]
            assert (result["original_height"], result["original_width"]) == map_.shape
            (name,) = result["value"]["brushlabels"]
            values = unpacked(bytes(result["value"]["rle"])).reshape(*map_.shape, 4)
            masks.append((categories.names.index(name), values[..., 3] > 0))
        np.testing.assert_array_equal(painted(map_.shape, masks), map_)


def test_parquet(made):
    maps, categories, write = made
    table = pq.read_table(write("parquet") / "shares.parquet").to_pylist()
    for name, map_ in maps.items():
        rows = [row for row in table if row["image"] == name]
        numbers, counts = np.unique(map_, return_counts=True)
        assert [(row["id"], row["pixels"]) for row in rows] == [*zip(numbers, counts, strict=True)]
        assert sum(row["share"] for row in rows) == pytest.approx(1)
        assert (rows[0]["height"], rows[0]["width"]) == map_.shape
        for row in rows:
            assert row["name"] == (categories.names[row["id"]] if row["id"] >= 0 else None)


def test_ids(made):
    _, _, write = made
    folder = write("ids")
    with Image.open(folder / "ids/deep/b.png") as image:
        assert image.mode == "I;16"
        expected = labeled("", named=False, size=(20, 9), seed=1).clusters
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_a_file_of_an_image_is_named_after_it_and_no_two_formats_write_one_place():
    image = labeled("deep/b", named=True)
    paths = [path for kind in FORMATS for path in format_of(kind).files(image, NAMED)]
    assert all("/" in path and path.endswith("/deep/b.png") for path in paths)
    paths += documents_of(FORMATS)
    assert len(set(paths)) == len(paths)
