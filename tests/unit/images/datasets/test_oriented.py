"""Labels and boxes of images that EXIF turns: as the image is shown, pixel by pixel, or refused."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.config.recipe import Data, Evaluate
from raynef.core.errors import UserError
from raynef.images.datasets.boxes import read_boxes
from raynef.images.datasets.imageset import ImageFile, ImageSet
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image, stored_in
from raynef.images.oriented import AmbiguousLabelError, read_truth
from raynef.jobs.look import EITHER_WAY, look_at
from raynef.jobs.report import read_images
from raynef.jobs.spectral.labels import count_pixels
from raynef.jobs.spectral.objects import SegmentObjects
from raynef.work.labels import PatchLabels, find_mistakes
from raynef.work.reading import Scoring, read_examples
from raynef.work.units import ImageUnit

ALL, SIDEWAYS, EITHER = range(1, 9), (5, 6, 7, 8), (2, 3, 4)
WIDE, SQUARE = (12, 20), (16, 16)
CLASSES = 5
_STEP = 50  # gray levels between classes


def labeled(shape: tuple[int, int]) -> np.ndarray:
    """A label with no symmetry: each corner and the middle have a class of their own."""
    label = np.zeros(shape, np.uint8)
    half, third = shape[0] // 2, shape[1] // 3
    label[:half, third:], label[half:, :third], label[half:, third:] = 1, 2, 3
    label[half - 1, third : third + 3] = 4
    return label


def put(
    root: Path, orientation: int, *, shape=WIDE, drawn="stored", kind="png", box=True
) -> ImageFile:
    """An image whose gray is its label, the label drawn on the stored pixels or on what is shown,
    and a box around class 4 drawn likewise."""
    stored, exif = labeled(shape), Image.Exif()
    exif[0x0112] = orientation
    gray = Image.fromarray(stored * _STEP).convert("RGB")
    if kind == "tiff":  # Pillow's writer turns nothing
        gray.save(root / "image.tiff", exif=exif)
    else:
        gray.save(root / "image.png", exif=exif.tobytes())
    shown = read_image(root / f"image.{kind}")[:, :, 0] // _STEP
    label = stored if drawn == "stored" else shown
    Image.fromarray(label).save(root / "label.png")
    rows, columns = np.nonzero(label == 4)
    (root / "image.xml").write_text(
        f"<annotation><size><width>{label.shape[1]}</width><height>{label.shape[0]}</height></size>"
        f"<object><bndbox><xmin>{columns.min() + 1}</xmin><ymin>{rows.min() + 1}</ymin>"
        f"<xmax>{columns.max() + 1}</xmax><ymax>{rows.max() + 1}</ymax></bndbox></object>"
        "</annotation>"
    )
    return ImageFile(
        f"image.{kind}",
        str(root / f"image.{kind}"),
        label=str(root / "label.png"),
        annotation=str(root / "image.xml") if box else None,
    )


def shown_label(file: ImageFile) -> np.ndarray:
    """What the label must be: read off the image as it is shown."""
    return (read_image(file.path)[:, :, 0] // _STEP).astype(np.int32)


def decided(orientation: int, shape: tuple[int, int]) -> bool:
    """Whether the size of a label tells how it lies."""
    return orientation == 1 or (orientation in SIDEWAYS and shape[0] != shape[1])


CASES = [
    (orientation, shape, drawn, rule, kind)
    for orientation in ALL
    for shape in (WIDE, SQUARE)
    for drawn in ("stored", "upright")
    for rule in (drawn, "auto")
    for kind in ("png", "tiff")
]


@pytest.mark.parametrize(("orientation", "shape", "drawn", "rule", "kind"), CASES)
def test_label_and_boxes_lie_on_the_image_as_it_is_shown(
    tmp_path, orientation, shape, drawn, rule, kind
):
    file = put(tmp_path, orientation, shape=shape, drawn=drawn, kind=kind)
    file = replace(file, label_orientation=rule)
    if rule == "auto" and not decided(orientation, shape):
        for read in (lambda: read_truth(file, None), lambda: read_boxes(file)):
            with pytest.raises(AmbiguousLabelError, match=f"{file.name} .* is {orientation},"):
                read()
        return
    expected = shown_label(file)
    np.testing.assert_array_equal(read_truth(file, None), expected)
    rows, columns = np.nonzero(expected == 4)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_array_equal(read_boxes(file), [box])


def test_the_two_ways_differ_wherever_the_image_turns(tmp_path):
    """So that the test above can fail."""
    for orientation in ALL:
        file = put(tmp_path, orientation, shape=SQUARE)
        stored, upright = (
            read_truth(replace(file, label_orientation=rule), None)
            for rule in ("stored", "upright")
        )
        assert np.array_equal(stored, upright) == (orientation == 1)


def test_a_refusal_names_both_ways(tmp_path):
    file = put(tmp_path, 3)
    with pytest.raises(UserError) as caught:
        read_truth(file, None)
    assert "data.label_orientation to stored" in str(caught.value)
    assert "or to upright" in str(caught.value)


def test_without_a_size_only_the_field_tells_how_boxes_lie(tmp_path):
    file = put(tmp_path, 6)
    path = Path(str(file.annotation))
    whole = path.read_text()
    for size in ("", "<size><width>0</width><height>0</height></size>"):
        path.write_text(whole[:12] + size + whole[whole.index("<object>") :])
        with pytest.raises(AmbiguousLabelError):
            read_boxes(file)
        assert len(read_boxes(replace(file, label_orientation="stored"))) == 1
    boxes = replace(file, annotation=None, boxes=((1.0, 2.0, 3.0, 4.0),), boxes_size=WIDE)
    np.testing.assert_array_equal(read_boxes(boxes), [[12 - 4, 1, 12 - 2, 3]])
    upright = replace(boxes, boxes_size=WIDE[::-1])
    np.testing.assert_array_equal(read_boxes(upright), [[1, 2, 3, 4]])


def test_an_image_without_a_tag_or_that_is_gone_turns_nothing(tmp_path):
    file = put(tmp_path, 1)
    assert not stored_in(Path(file.path).read_bytes()).turns
    Path(file.path).unlink()
    np.testing.assert_array_equal(read_truth(file, None), labeled(WIDE))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", ALL)
def test_how_an_image_is_stored(kind, orientation):
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(labeled(WIDE)).convert("RGB").save(buffer, kind, exif=exif)
    found = stored_in(buffer.getvalue())
    assert (found.orientation, found.size) == (orientation, WIDE)


# ------------------------------------------------------------------------- wherever labels are read


@pytest.fixture(params=[(o, "auto") for o in SIDEWAYS] + [(o, "stored") for o in EITHER])
def turned(request, tmp_path) -> ImageFile:
    orientation, rule = request.param
    return replace(put(tmp_path, orientation, box=False), label_orientation=rule)


def one(file: ImageFile, **fields) -> ImageSet:
    return ImageSet("root", "val", (file,), tuple("abcde"), **fields)


def test_evaluation(turned):
    config = Evaluate(protocol="whole", short_side=WIDE[0])
    scoring = Scoring(config, None, (1, 1, CLASSES))
    found = read_examples(ImageUnit([0], (turned,)), scoring=scoring)
    assert found.mistake is None
    (example,) = found.examples
    np.testing.assert_array_equal(example.label, example.small[:, :, 0] // _STEP)


def test_evaluation_refuses_what_may_lie_either_way(tmp_path):
    config = Evaluate(protocol="whole", short_side=WIDE[0])
    scoring = Scoring(config, None, (1, 1, CLASSES))
    found = read_examples(ImageUnit([0], (put(tmp_path, 3),)), scoring=scoring)
    assert found.mistake is not None
    assert "image.png" in found.mistake
    assert "data.label_orientation" in found.mistake


def test_probes_and_leaked_labels(turned):
    labels = PatchLabels(one(turned), Data(), grid=2)
    np.testing.assert_array_equal(labels.label(0), shown_label(turned))
    assert find_mistakes(ImageUnit([0]), labels=labels).skipped == {}
    refused = PatchLabels(one(replace(turned, label_orientation="auto")), Data(), grid=2)
    mistakes = find_mistakes(ImageUnit([0]), labels=refused).skipped
    assert bool(mistakes) == (stored_in(Path(turned.path).read_bytes()).orientation in EITHER)


def test_the_gallery_of_a_report(turned, tmp_path, caplog):
    config = Evaluate(protocol="whole", short_side=WIDE[0])
    ((_, image, label),) = read_images([turned], None, config)
    np.testing.assert_array_equal(label, image[:, :, 0] // _STEP)
    ((_, _, label),) = read_images([put(tmp_path, 2)], None, config)
    assert label is None
    assert "without this label" in caplog.text


def test_segments_of_all_images(turned):
    labels = shown_label(turned)
    table = count_pixels(labels, turned, None, (CLASSES, CLASSES))
    assert table.sum() == labels.size == np.trace(table)


def test_object_masks(turned, tmp_path, monkeypatch):
    expected = shown_label(turned) == 4
    Image.fromarray(np.where(labeled(WIDE) == 4, 255, 0).astype(np.uint8)).save(turned.label)
    module = "raynef.jobs.spectral.objects"
    monkeypatch.setattr(f"{module}.EigenStore", lambda _: None)
    monkeypatch.setattr(f"{module}.masks_of", lambda *_, **__: {"plain": expected})
    unit = ImageUnit([0], (turned,), outputs=("image.png",))
    out = tmp_path / "masks"
    (found,) = SegmentObjects(Path(), codes="mask", scored=True, crf=False, out=out)(unit)
    assert found["plain"].iou == found["plain"].accuracy == 1.0


def test_data_check_counts_them(tmp_path):
    for orientation in ALL:
        for drawn in ("stored", "upright"):
            unit = ImageUnit([0], (put(tmp_path, orientation, drawn=drawn),))
            found = look_at(unit, codes=None, num_classes=CLASSES)
            assert found.turned["images"] == (orientation != 1)
            tells = orientation in SIDEWAYS
            assert found.turned[drawn] == tells
            assert found.turned["stored"] + found.turned["upright"] == tells
            # The label and the annotation.
            assert dict(found.counts) == ({EITHER_WAY: 2} if orientation in EITHER else {})


def test_the_field_reaches_every_file(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    Image.fromarray(labeled(WIDE)).save(tmp_path / "images" / "a.png")
    for rule in ("auto", "stored", "upright"):
        images = open_split(Data(root=str(tmp_path), label_orientation=rule), "val")
        assert [file.label_orientation for file in images.files] == [rule]
