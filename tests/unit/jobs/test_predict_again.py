"""Prediction that is begun again: what is done stays, and never do two settings mix."""

import json
import os
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from raynef.io.storage import join, list_files, read_bytes
from raynef.jobs import segment_sources as module
from raynef.jobs.predict import Options, predict
from raynef.models.names import change_names
from raynef.models.segmenter import Segmenter
from raynef.ops.status import status
from raynef.ops.status_words import in_words
from raynef.stores.formats.registry import FORMATS
from raynef.work import segmenting
from tests.s3_server import s3_server

pytestmark = pytest.mark.usefixtures("without_ray", "one_thread")
NUM = 20  # images: two units
EVERYTHING = Options(format=FORMATS)


@pytest.fixture(scope="module")
def segmenter(untrained_run):
    """A segmenter's folder; some of its clusters have names."""
    folder = untrained_run(6, short_side=32) / "segmenter"
    change_names(folder, 6, {0: "sky", 1: "road", 2: "sky"})
    return folder


@pytest.fixture(scope="module")
def originals(sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("again") / "photos"
    (folder / "deep").mkdir(parents=True)
    with Image.open(sample / "images" / "val_00000.jpg") as image:
        for number in range(NUM):
            part = image.crop((number, number, number + 40, number + 30 + number % 3))
            part.save(folder / ("deep" if number % 2 else "") / f"{number}.png")
    return folder


@pytest.fixture
def photos(originals, tmp_path):
    return shutil.copytree(originals, tmp_path / "photos")


def tree(folder):
    """{name: content} of all results, but for the journal and what says where and when."""
    skipped = ("journal/", "state.json", "manifest.json")
    names = [name for name in list_files(str(folder)) if not name.startswith(skipped)]
    return {name: read_bytes(join(str(folder), name)) for name in names}


def manifest(folder):
    return json.loads(read_bytes(join(str(folder), "manifest.json")))


@pytest.fixture(scope="module")
def expected(segmenter, originals, tmp_path_factory):
    """What one undisturbed command makes of all formats."""
    out = tmp_path_factory.mktemp("again") / "whole"
    predict(segmenter, originals, out, options=EVERYTHING)
    return tree(out)


def interrupted(monkeypatch, *arguments, **keywords):
    """A command that is ended while it writes its second unit, once the first is written."""
    write, begun, first_is_written = module.write_photos, [], threading.Event()

    def end(found, *, making):
        begun.append(found)
        if len(begun) == 1:
            written = write(found, making=making)
            first_is_written.set()
            return written
        assert first_is_written.wait(60)
        patch.setattr(segmenting, "Record", lambda **_: 1 / 0)  # the files are there by then
        return write(found, making=making)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_photos", end)
        with pytest.raises(ZeroDivisionError):
            predict(*arguments, **keywords)


def test_an_interrupted_command_resumes(segmenter, originals, expected, tmp_path, monkeypatch):
    out = tmp_path / "out"
    interrupted(monkeypatch, segmenter, originals, out, options=EVERYTHING)
    assert status(out)["state"] == "unfinished"
    assert status(out)["images"] == [16, NUM]
    (journal,) = (out / "journal").glob("*.jsonl")
    with journal.open("ab") as file:
        file.write(b'{"settings": "cut sh')
    assert predict(segmenter, originals, out, options=EVERYTHING)["num_kept"] == 16
    assert tree(out) == expected
    assert len(manifest(out)["images"]) == NUM
    assert (status(out)["state"], status(out)["images"]) == ("finished", [NUM, NUM])
    assert f"  {'images':<10}{NUM} images" in in_words(status(out))
    assert len(list((out / "journal").glob("*.jsonl"))) == 1
    assert predict(segmenter, originals, out, options=EVERYTHING)["num_kept"] == NUM
    assert tree(out) == expected


@pytest.mark.parametrize("kind", [pytest.param("s3", marks=pytest.mark.slow), "fsspec"])
def test_results_at_an_address(kind, segmenter, originals, expected, tmp_path, monkeypatch):
    (tmp_path / "bucket").mkdir()
    options = Options(format=("png", "parquet"))
    with s3_server(tmp_path / "bucket") as server:
        memory = f"fsspec+memory:///{tmp_path.name}"
        out = server.address("some/out") if kind == "s3" else memory
        interrupted(monkeypatch, segmenter, originals, out, options=options)
        result = predict(segmenter, originals, out, options=options)
        assert (result["num_images"], result["num_kept"]) == (NUM, 16)
        assert "s3cret" not in str(result)
        there = tree(out)
        kinds = ("clusters/", "classes/", "overlays/", "legend", "classes.json", "shares")
        assert there == {name: expected[name] for name in expected if name.startswith(kinds)}
        assert predict(segmenter, originals, out, options=options)["num_kept"] == NUM


def times(folder):
    return {path: path.stat().st_mtime_ns for path in (folder / "clusters").rglob("*.png")}


def test_what_changed_is_done_again(segmenter, photos, tmp_path):
    out = tmp_path / "out"
    predict(segmenter, photos, out)
    before, first = times(out), tree(out)
    stat = (photos / "2.png").stat()
    shutil.copy(photos / "4.png", photos / "2.png")  # another content, at the same time
    os.utime(photos / "2.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.utime(photos / "0.png", ns=(1, 1))  # another time, of the same content
    (out / "clusters" / "6.png").unlink()
    (out / "classes" / "8.png").write_bytes(b"x" + first["classes/8.png"][1:])
    assert predict(segmenter, photos, out)["num_kept"] == NUM - 3
    assert {path.name for path, time in times(out).items() if time != before[path]} == {
        "2.png", "6.png", "8.png",
    }  # fmt: skip
    assert tree(out)["clusters/2.png"] == first["clusters/4.png"]
    shutil.copy(photos / "0.png", photos / "4.png")
    predict(segmenter, photos, out)
    found = tree(out)
    changed = {name for name in first if found[name] != first[name]}
    assert changed == {f"{kind}/{n}.png" for kind in ("clusters", "overlays") for n in (2, 4)} | {
        name for name in changed if name.startswith("classes/")
    }


def test_images_that_are_gone_are_named(segmenter, photos, tmp_path, caplog):
    out = tmp_path / "out"
    predict(segmenter, photos, out)
    content = (photos / "0.png").read_bytes()
    (photos / "0.png").unlink()
    result = predict(segmenter, photos, out)
    assert (result["num_images"], result["num_kept"]) == (NUM - 1, NUM - 1)
    assert "1 image(s) are gone; what was made of them is left: classes/0.png" in caplog.text
    assert set(manifest(out)["gone"]["0.png"]) == {
        "overlays/0.png", "clusters/0.png", "classes/0.png",
    }  # fmt: skip
    assert "0.png" not in {image["name"] for image in manifest(out)["images"]}
    (photos / "0.png").write_bytes(content)
    assert predict(segmenter, photos, out)["num_kept"] == NUM
    assert manifest(out)["gone"] == {}


def test_a_name_that_is_taken_twice_moves_the_results(segmenter, photos, tmp_path):
    out = tmp_path / "out"
    predict(segmenter, photos, out)
    with Image.open(photos / "0.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(photos / "0.bmp")
    assert predict(segmenter, photos, out)["num_kept"] == NUM - 1
    predict(segmenter, photos, tmp_path / "fresh")
    assert tree(out) == tree(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        (Options(format=FORMATS, overlay="none"), "overlay"),
        (Options(format=("ids",)), "format"),
        (Options(format=("cvat", "ids"), overlay="jpeg"), "format, overlay"),
    ],
)
def test_other_settings_replace_all(segmenter, photos, tmp_path, caplog, options, differs):
    out = tmp_path / "out"
    predict(segmenter, photos, out, options=EVERYTHING)
    own = out / "notes.json"
    own.write_text("mine")
    assert predict(segmenter, photos, out, options=options)["num_kept"] == 0
    assert f"{out} holds results of other settings ({differs})" in caplog.text
    assert own.read_text() == "mine"
    own.unlink()
    predict(segmenter, photos, tmp_path / "fresh", options=options)
    assert tree(out) == tree(tmp_path / "fresh")


def test_the_order_of_formats_is_no_setting(segmenter, photos, tmp_path):
    predict(segmenter, photos, tmp_path / "out", options=Options(format=("png", "ids")))
    again = predict(segmenter, photos, tmp_path / "out", options=Options(format=("ids", "png")))
    assert again["num_kept"] == NUM


def test_other_names_or_weights_are_other_settings(segmenter, photos, tmp_path, caplog):
    copy = shutil.copytree(segmenter, tmp_path / "segmenter")
    out = tmp_path / "out"
    predict(copy, photos, out)
    predict(segmenter, photos, out)
    assert "other settings" not in caplog.text  # a copy is the same
    change_names(copy, 6, {4: "tree"})
    assert predict(copy, photos, out)["num_kept"] == 0
    assert "other settings (names)" in caplog.text
    loaded = Segmenter.load(copy)
    loaded.head.head.bias.data[0] += 1
    loaded.save(copy)
    assert predict(copy, photos, out)["num_kept"] == 0
    assert "other settings (segmenter)" in caplog.text


def test_what_is_resumed_is_what_is_made_at_once(segmenter, photos, tmp_path):
    """On a CPU no map depends on what lies beside its image."""
    predict(segmenter, photos / "deep" / "3.png", tmp_path / "one")
    predict(segmenter, photos, tmp_path / "all")
    found = np.asarray(Image.open(tmp_path / "one" / "clusters" / "3.png"))
    np.testing.assert_array_equal(found, Image.open(tmp_path / "all" / "clusters" / "deep/3.png"))
