"""The gallery of a run: pictures laid over a photograph, words in them, and data for the script."""

import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image

from raynef.report.embed import packed, tint
from raynef.report.marks import marks
from raynef.report.palette import overlay, palette
from raynef.report.records import Chip
from raynef.report.run_gallery import Legend, run_rows
from tests.known import present
from tests.unit.report.pages import CLASSES, NAMES, a_run, an_image


def opened(source: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGBA"))


@pytest.mark.parametrize("count", [3, 300])
def test_a_tint_over_the_faded_photograph_is_the_overlay(count: int) -> None:
    rng = np.random.default_rng(0)
    index = np.kron(rng.integers(0, count, (20, 20)), np.ones((4, 4), dtype=np.int64))
    colors = palette(count)
    gray = np.full((80, 80, 3), 120, dtype=np.uint8)  # which no fading changes
    layer = opened(tint(index, colors).source).astype(float)
    alpha = layer[..., 3:] / 255
    laid = (1 - alpha) * gray + alpha * layer[..., :3]
    expected = overlay(gray, index, colors)
    inner = (layer[..., :3] != 255).any(axis=-1)
    assert 0.3 < inner.mean() < 0.9
    assert np.abs(laid - expected)[inner].max() < 2
    assert np.abs(laid - expected)[~inner].max() < 20  # lines between, white on both


def test_packed_maps_are_read_back() -> None:
    index = np.array([[0, 5, -1], [300, 4095, 7]])
    data = zlib.decompress(base64.b64decode(packed(index)))
    found = np.frombuffer(data, dtype="<u2").reshape(2, 3)
    assert found.tolist() == [[0, 5, 65535], [300, 4095, 7]]


def test_a_word_stands_where_its_area_is_widest_and_fits() -> None:
    index = np.zeros((100, 200), dtype=np.int64)
    index[:, 100:] = 1
    index[40:44, 120:190] = 2  # too low for any word
    index[70:100, 0:30] = 3  # too narrow for a long one
    texts = {0: "sky", 1: "grass", 2: "x", 3: "aeroplane"}
    found = {mark.text: mark for mark in marks(index, texts)}
    assert found.keys() == {"sky", "grass"}
    assert index[found["sky"].y, found["sky"].x] == 0
    assert 45 <= found["grass"].y <= 99 or found["grass"].y <= 39
    (seven,) = marks(index, {3: "7"})
    assert (abs(seven.x - 15) < 3, abs(seven.y - 85) < 3) == (True, True)


def test_rows_tell_their_clusters_names_and_errors() -> None:
    colors = palette(4)
    legend = Legend(colors, NAMES, colors, {0: "sky", 1: "grass"})
    right, wrong, unknown = run_rows(a_run().gallery, legend)
    assert (right.accuracy, right.iou) == (1, 1)
    assert wrong.accuracy == pytest.approx(40 / 79)
    assert wrong.iou == pytest.approx(40 / 79)
    assert unknown.iou == pytest.approx(0.5)  # sky is right, and no pixel of the grass
    assert right.clusters == (0, 1)
    assert (right.cluster_chips[1].name, right.cluster_chips[1].note) == ("1", "grass")
    assert unknown.class_chips[-1] == Chip(None, "no class or no label")
    assert unknown.words == ["sky", "grass"]
    plain = np.frombuffer(zlib.decompress(base64.b64decode(present(wrong.labels))), dtype="<u2")
    assert plain.reshape(80, 120)[79].tolist() == [65535] * 120


def test_an_image_without_a_label_has_no_error() -> None:
    colors = palette(4)
    (row,) = run_rows([an_image("a.jpg", lower=1)], Legend(colors, {}, colors, {0: "sky"}))
    assert (row.labels, row.accuracy, row.iou) == (None, None, None)
    assert list(row.views) == ["image", "segments", "classes"]
    assert [mark.text for mark in row.views["classes"].marks] == ["sky", "class 1"]
    assert CLASSES[1] == 1
