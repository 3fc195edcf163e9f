"""Mutated and malicious files: handled, or skipped and named; memory and time are bounded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raynef.core.errors import BadImageError, UserError
from raynef.images.datasets.boxes import read_boxes
from raynef.images.datasets.coco_20k import open_coco_20k
from raynef.images.datasets.imageset import ImageFile
from raynef.images.datasets.registry import open_split
from raynef.images.decode import MOST_BYTES, decode_image, read_image, read_label, read_mask
from tests import fuzz
from tests.places import ROOT

_READ = """
import json, sys
from tests import fuzz
import raynef.images.decode
found = fuzz.read_all(0, range(int(sys.argv[1]), int(sys.argv[2])))
print(json.dumps([found.crashes, found.peak_mb, found.slowest[0], sum(found.reads.values())]))
"""


def in_a_process(code: str, *arguments: str):
    """What a fresh process says, so that its peak of memory is its own."""
    root = ROOT
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_no_file_crashes_and_memory_is_bounded():
    crashes, peak_mb, slowest, reads = in_a_process(_READ, "0", "84")
    assert crashes == []
    assert reads == 3 * 84
    assert peak_mb < 1500
    assert slowest < 20


@pytest.mark.slow
def test_a_thousand_files():
    crashes, peak_mb, _, reads = in_a_process(_READ, "0", "1000")
    assert (crashes, reads) == ([], 3000)
    assert peak_mb < 1500


def test_the_same_seed_makes_the_same_files():
    again = [fuzz.case(3, number) for number in range(0, 16)]
    assert again == [fuzz.case(3, number) for number in range(0, 16)]
    assert again != [fuzz.case(4, number) for number in range(0, 16)]


_SPARSE = """
import json, sys
from tests.fuzz import peak_megabytes
from raynef.images.decode import read_image, read_label, read_mask
before = peak_megabytes()
said = []
for read in (read_image, read_label, read_mask):
    try:
        read(sys.argv[1])
    except ValueError as error:
        said.append([type(error).__name__, str(error)])
print(json.dumps([said, peak_megabytes() - before]))
"""


def test_a_file_of_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "x.png"
    with path.open("wb") as file:
        file.truncate(20 << 30)
    said, grown_mb = in_a_process(_SPARSE, str(path))
    assert [kind for kind, _ in said] == ["BadImageError", "UserError", "UserError"]
    assert all(f"larger than the {MOST_BYTES >> 20} MiB" in text for _, text in said)
    assert grown_mb < 50


@pytest.mark.parametrize("read", [read_label, read_mask])
@pytest.mark.parametrize("side", [12_000, 40_000])
def test_labels_that_are_bombs_are_refused(read, side, tmp_path):
    path = tmp_path / "label.png"
    path.write_bytes(fuzz.png(side, side, bytes(1000), bits=1))
    with pytest.raises(UserError, match=r"label\.png cannot be read: too large"):
        read(path)


def test_what_no_photograph_is_stored_as_is_not_opened():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    with pytest.raises(BadImageError, match="not an image"):
        decode_image(eps)


# --------------------------------------------------------------------- lists, boxes, instances


def voc(tmp_path: Path, text: str | bytes) -> ImageFile:
    path = tmp_path / "0.xml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return ImageFile("0.jpg", "0.jpg", annotation=str(path))


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "ha">'
    + "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    + "]><annotation>&l11;</annotation>"
)
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>'


@pytest.mark.parametrize("text", [LAUGHS, OUTSIDE, LAUGHS.encode("utf-16")])
def test_entities_are_refused(text, tmp_path):
    with pytest.raises(UserError, match=r"0\.xml (has a DOCTYPE|cannot be read)"):
        read_boxes(voc(tmp_path, text))


def test_the_filename_in_an_annotation_is_not_followed(tmp_path):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
    file = voc(
        tmp_path,
        "<annotation><folder>/</folder><filename>../../etc/passwd</filename>"
        f"<path>/etc/passwd</path><object>{box}</object></annotation>",
    )
    assert read_boxes(file).tolist() == [[0, 0, 3, 4]]


def test_mutated_annotations(tmp_path):
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
    sound = f"<annotation><object>{box}</object></annotation>".encode()
    draws, refused = fuzz.np.random.default_rng(0), 0
    for _ in range(150):
        mutate = list(fuzz.MUTATIONS.values())[int(draws.integers(7))]
        try:
            assert read_boxes(voc(tmp_path, mutate(sound, draws))).shape[1] == 4
        except UserError as error:
            refused += "0.xml" in str(error)
    assert refused > 50


def coco(root: Path, instances: str, listed: str = "1") -> Path:
    (root / "train2014").mkdir(parents=True)
    (root / "train2014" / "COCO_train2014_000000000001.jpg").write_bytes(b"")
    (root / "coco_20k_filenames.txt").write_text(listed)
    (root / "instances_train2014.json").write_text(instances)
    return root


_BOX = '"annotations": [{"image_id": 1, "iscrowd": 0, "bbox": %s}]'


@pytest.mark.parametrize(
    "instances",
    [
        "[" * 100_000,
        '{"images": ' + "[" * 100_000,
        "{}",
        "null",
        '{"images": [{"id": [], "file_name": "a"}], "annotations": []}',
        '{"images": [{"id": 1, "file_name": 7}], "annotations": []}',
        '{"images": [{"id": 1, "file_name": "../../etc/passwd"}], "annotations": []}',
        '{"images": [{"id": 1, "file_name": "a"}], '
        + _BOX % ("[1e400, 1, 1" + "0" * 400 + ", 1]")
        + "}",
        '{"images": [{"id": 1, "file_name": "a"}], ' + _BOX % "7" + "}",
        '{"images": [{"id": 1, "file_name": "a"}], '
        + _BOX % ("[" + "9" * 5000 + ", 1, 1, 1]")
        + "}",
    ],
)
def test_odd_instances(instances, tmp_path):
    with pytest.raises(UserError, match="instances"):
        open_coco_20k(str(coco(tmp_path, instances)), None)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "9" * 5000, "..", "a\0b"])
def test_a_list_does_not_lead_out_of_the_data(name, tmp_path):
    with pytest.raises(UserError, match="not in"):
        open_coco_20k(str(coco(tmp_path / "coco", "{}", name)), None)
    root = tmp_path / "folder"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "images" / "a.jpg").write_bytes(b"")
    (tmp_path / "outside.jpg").write_bytes(b"")
    for listed in (name, "../../outside", str(tmp_path / "outside")):
        (root / "train.txt").write_text(f"a\n{listed}\n")
        data = fuzz_data(root)
        with pytest.raises(UserError, match="not in"):
            open_split(data, "train")


def fuzz_data(root: Path):
    from raynef.config.recipe import Data

    return Data(root=str(root))


@pytest.mark.parametrize("content", [b"\xff\xfe\0\0", b"a\n\nb", bytes(range(256))])
def test_odd_class_names(content, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"classes\.txt"):
        open_split(fuzz_data(tmp_path), "train")


def test_images_are_still_read_beside_all_this(tmp_path):
    """What the fuzzer calls sound is read."""
    draws, path, read = fuzz.np.random.default_rng(1), tmp_path / "x", 0
    for _ in range(60):
        path.write_bytes(fuzz.valid(draws))
        read += read_image(path).ndim == 3
    assert read == 60
