"""What prediction writes, and where it refuses to."""

import json
import logging
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import SCALED, read_image, read_label
from raynef.jobs.predict import Options, predict
from raynef.models.segmenter import Mapping, Segmenter
from raynef.report.palette import IGNORED, palette
from raynef.segment.crf import dense_crf
from raynef.segment.patch_map import PatchMap
from raynef.stores.formats.base import Categories
from raynef.stores.label_files import write_labels
from raynef.stores.run import RunFolder
from raynef.work.reading import PredictUnit, read_photos
from raynef.work.segmenting import Making, PredictActor
from tests.known import present

pytestmark = pytest.mark.usefixtures("without_ray")
MAPPING = Mapping((1, 0, -1, 1, 0, 1, -1, 0, 0, 1, 1, 0), ("sky", "road"))


@pytest.fixture
def photos(sample, tmp_path):
    """Two scenes, of other sizes, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name, size in (("a.png", (70, 50)), ("deep/b.png", (60, 80))):
        with Image.open(sample / "images" / "val_00000.jpg") as image:
            image.resize(size).save(folder / name)
    (folder / "bad.jpg").write_bytes(b"no image")
    return folder


def files_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_ids_are_colored_and_still_ids(untrained_run, photos, tmp_path):
    run, out = untrained_run(mapping=MAPPING), tmp_path / "out"
    assert predict(run, photos, out)["num_images"] == 2
    segmenter = Segmenter.load(run)
    expected = segmenter(photos / "a.png")
    assert len(np.unique(expected.clusters)) > 1
    with Image.open(out / "clusters" / "a.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), expected.clusters)
        colors = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(colors, palette(12)[expected.clusters])
    np.testing.assert_array_equal(read_image(out / "clusters" / "a.png"), colors)
    np.testing.assert_array_equal(read_label(out / "clusters" / "a.png"), expected.clusters)

    assert expected.classes is not None
    classes = np.where(expected.classes < 0, 255, expected.classes)
    with Image.open(out / "classes" / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), classes)
        colors = np.asarray(image.convert("RGB"))
    assert (classes == 255).any()
    assert (colors[classes == 255] == IGNORED).all()
    np.testing.assert_array_equal(colors[classes < 255], palette(2)[classes[classes < 255]])


def test_legend_and_manifest_say_what_is_what(untrained_run, photos, tmp_path):
    run, out = untrained_run(mapping=MAPPING), tmp_path / "out"
    predict(run, photos, out)
    legend = json.loads((out / "legend.json").read_text())
    assert [entry["id"] for entry in legend["clusters"]] == list(range(12))
    assert [entry["class"] for entry in legend["clusters"]][:3] == ["road", "sky", None]
    assert [(entry["id"], entry["name"]) for entry in legend["classes"]] == [
        (0, "sky"),
        (1, "road"),
    ]
    for entries, colors in ((legend["clusters"], palette(12)), (legend["classes"], palette(2))):
        for entry, color in zip(entries, colors, strict=True):
            assert bytes.fromhex(entry["color"][1:]) == color.tobytes()

    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["run"], manifest["num_clusters"]) == (str(run), 12)
    assert "commit" in manifest
    assert list(manifest["skipped"]) == ["bad.jpg"]
    assert manifest["images"] == [
        {
            "name": name, "source": str(photos / name), "width": width, "height": height,
            "clusters": f"clusters/{name}", "overlays": f"overlays/{name}",
            "classes": f"classes/{name}",
        }
        for name, width, height in (("a.png", 70, 50), ("deep/b.png", 60, 80))
    ]  # fmt: skip
    listed = {
        image[kind] for image in manifest["images"] for kind in ("clusters", "overlays", "classes")
    }
    others = {"legend.json", "manifest.json", "classes.json", "state.json", ".lock"}
    found = {name for name in files_in(out) if not name.startswith("journal/")}
    assert found == listed | others


def test_without_names_there_are_no_classes_and_an_old_manifest_goes(
    untrained_run, photos, tmp_path
):
    run, out = untrained_run(), tmp_path / "out"
    predict(run, photos, out)
    assert set(json.loads((out / "legend.json").read_text())) == {"clusters"}
    image = json.loads((out / "manifest.json").read_text())["images"][0]
    assert set(image) == {"name", "source", "width", "height", "clusters", "overlays"}
    for file in ("a.png", "deep/b.png"):
        (photos / file).unlink()
    with pytest.raises(UserError, match="not one image could be read"):
        predict(run, photos, out)
    assert not (out / "manifest.json").exists()


def test_many_clusters_are_sixteen_bits(untrained_run, photos, tmp_path):
    predict(untrained_run(num_clusters=256), photos / "a.png", tmp_path / "out")
    with Image.open(tmp_path / "out" / "clusters" / "a.png") as image:
        assert image.mode == "I;16"
    assert len(json.loads((tmp_path / "out" / "legend.json").read_text())["clusters"]) == 256


@pytest.mark.parametrize("most", [1, 3, 15, 16, 200, 255, 256, 4000])
def test_every_label_survives(most, tmp_path):
    labels = np.arange(most + 1).reshape(1, -1)
    write_labels(tmp_path / "x.png", labels)
    with Image.open(tmp_path / "x.png") as image:
        np.testing.assert_array_equal(np.asarray(image), labels)
        assert image.mode == ("P" if most < 256 else "I;16")


@pytest.mark.parametrize(
    ("out", "lies"),
    [("photos", "is"), ("photos/new/maps", "lies in"), (".", "holds"), ("link", "is"),
     ("link/maps", "lies in")],
)  # fmt: skip
@pytest.mark.parametrize("as_address", [False, True])
def test_results_do_not_become_images(photos, out, lies, as_address, tmp_path):
    """Refused before anything is made, or a run is even looked for."""
    (tmp_path / "link").symlink_to(photos)
    before = files_in(tmp_path)
    source = photos.as_uri() if as_address else photos
    with pytest.raises(UserError, match=rf"^--out .* {lies} the folder of images .*beside it$"):
        predict(tmp_path / "no-run", source, tmp_path / out)
    assert files_in(tmp_path) == before


def test_one_image_and_a_folder_of_a_longer_name_are_no_mistake(untrained_run, photos, tmp_path):
    run = untrained_run()
    assert predict(run, photos / "a.png", photos)["num_images"] == 1
    with pytest.raises(UserError, match="no segmenter"):
        predict(tmp_path / "no-run", photos, tmp_path / "photos-segmented")


def test_images_of_ten_bits_are_said_once(untrained_run, tmp_path, caplog):
    folder = tmp_path / "deep"
    folder.mkdir()
    for number in range(6):
        ramp = np.linspace(0, 1023, 64 * 64).reshape(64, 64).astype(np.uint16)
        Image.fromarray(np.roll(ramp, number)).save(folder / f"{number}.png")
    with caplog.at_level(logging.INFO, logger="raynef"):
        predict(untrained_run(), folder, tmp_path / "out")
    assert caplog.messages.count(SCALED) == 1
    shown = np.asarray(Image.open(tmp_path / "out" / "overlays" / "0.png"))
    assert shown[-8:].mean() > shown[:8].mean() + 40  # no black picture


@pytest.mark.parametrize("cut", [1, 3])
def test_clusters_merged_by_their_tree(run_here, photos, tmp_path, cut):
    out, run = tmp_path / "out", run_here[0]
    assert predict(run, photos, out, options=Options(cut=cut))["num_clusters"] == cut
    segmenter = Segmenter.load(run)
    groups = segmenter.cut(cut)
    found = np.asarray(Image.open(out / "clusters" / "deep" / "b.png"))
    np.testing.assert_array_equal(found, groups[segmenter(photos / "deep" / "b.png").clusters])
    assert len(json.loads((out / "legend.json").read_text())["clusters"]) == cut
    assert json.loads((out / "manifest.json").read_text())["groups"] == groups.tolist()


def test_a_cut_without_a_tree_is_refused(untrained_run, photos, tmp_path):
    with pytest.raises(UserError, match="no tree over its clusters"):
        predict(untrained_run(), photos, tmp_path / "out", options=Options(cut=3))


def test_a_cut_keeps_the_classes(run_here, photos, tmp_path):
    segmenter = Segmenter.load(run_here[0])
    segmenter.mapping = MAPPING
    segmenter.save(tmp_path / "named")
    predict(tmp_path / "named", photos, tmp_path / "out", options=Options(cut=3))
    classes = np.asarray(Image.open(tmp_path / "out" / "classes" / "a.png"))
    expected = present(segmenter(photos / "a.png").classes)
    np.testing.assert_array_equal(classes, np.where(expected < 0, 255, expected))
    described = json.loads((tmp_path / "out" / "legend.json").read_text())
    assert [entry["name"] for entry in described["classes"]] == ["sky", "road"]
    assert all("class" not in entry for entry in described["clusters"])


def test_a_crf_follows_the_segmenter(run_here, photos, tmp_path):
    """The same as by hand: the clusters' log probabilities, sharpened at the image's own size."""
    run, out = run_here[0], tmp_path / "out"
    predict(run, photos, out, options=Options(crf=True))
    segmenter, pixels = Segmenter.load(run), read_image(photos / "a.png")
    (found,) = segmenter.patch_maps(segmenter.seen(pixels)[None])
    rows, columns = found.matrices((50, 70))
    tau = RunFolder(run).recipe().eigen.tau_end  # at which the run's training ended
    logits = torch.einsum("yh,hwk,xw->kyx", rows, found.logits / tau, columns)
    kept = logits.softmax(0).mean((1, 2)).topk(min(32, len(logits))).indices.sort().values
    sharpened = dense_crf(pixels, logits.log_softmax(0)[kept].numpy())
    expected = kept.numpy()[sharpened.argmax(axis=0)]
    clusters = np.asarray(Image.open(out / "clusters" / "a.png"))
    assert (clusters == expected).mean() > 0.999
    plain = segmenter(pixels).clusters
    assert 0 < (clusters != plain).mean() < 0.5


def test_what_goes_to_a_crf_can_travel(run_here, photos):
    making = Making("", "", Categories(3), ("png",), "png", crf=1.0)
    actor = PredictActor(str(run_here[0] / "segmenter"), making, "cpu")
    unit = PredictUnit([0], (ImageFile("a.png", str(photos / "a.png")),), outputs=("a.png",))
    (segmented,) = actor(read_photos(unit)).values.values()
    assert isinstance(segmented.found, PatchMap)
    again = pickle.loads(pickle.dumps(segmented))
    assert torch.equal(again.found.logits, segmented.found.logits)


def test_a_crf_without_its_package_is_refused_at_once(monkeypatch, photos, tmp_path):
    monkeypatch.setattr("raynef.segment.crf.has_crf", lambda: False)
    with pytest.raises(UserError, match=r"pip install 'raynef\[crf\]'"):
        predict(tmp_path / "no run", photos, tmp_path / "out", options=Options(crf=True))
