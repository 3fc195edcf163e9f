"""GeoTIFFs: segmented at full resolution, and written where they lie."""

import json
import logging
import sys

import numpy as np
import pytest
from PIL import Image

from raynef.core.errors import BadImageError, UserError
from raynef.images.geotiff import Colors, kind_of, open_geotiff
from raynef.jobs.predict import Options, predict
from raynef.models.segmenter import Mapping, Segmenter
from raynef.report.palette import palette
from raynef.segment.patch_map import cluster_maps
from raynef.stores.formats.registry import FORMATS

rasterio = pytest.importorskip("rasterio", reason="rasterio, of the extra geo")

pytestmark = pytest.mark.usefixtures("without_ray", "one_thread")
MAPPING = Mapping((1, 0, -1, 1, 0, 1, -1, 0, 0, 1, 1, 0), ("sky", "road"))
SIZE = (300, 420)
CRS, TRANSFORM = "EPSG:32633", rasterio.Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)


@pytest.fixture(scope="module")
def run(untrained_run):
    return untrained_run(mapping=MAPPING)


@pytest.fixture(scope="module")
def pixels(sample):
    with Image.open(sample / "images" / "val_00000.jpg") as image:
        return np.asarray(image.resize((SIZE[1], SIZE[0])))


def write(path, values, *, alpha=None, **profile):
    """A GeoTIFF of [H, W, n] or [H, W]."""
    bands = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    settings = {"crs": CRS, "transform": TRANSFORM, **profile}
    with rasterio.open(
        path, "w", driver="GTiff", height=bands.shape[1], width=bands.shape[2],
        count=len(bands), dtype=bands.dtype, **settings,
    ) as file:  # fmt: skip
        file.write(bands)
        if alpha is not None:
            file.write_mask(alpha)
    return path


def opened(path):
    with rasterio.open(path) as file:
        return file.read().squeeze(), file.profile, file.tags(1), file


def tiled(run, seen, tile=64):
    """The clusters of an image, held whole, in windows of the run's scale."""
    return cluster_maps([Segmenter.load(run).tiled(seen, tile)], seen.shape[:2])[0]


def alike(found, expected):
    return (found != expected).mean() <= 1e-4  # ties, which another rounding decides


def test_results_lie_where_the_scene_does(run, pixels, tmp_path):
    path, out = write(tmp_path / "scene.tif", pixels), tmp_path / "out"
    result = predict(run, path, out, options=Options(format=("png", "ids")))
    assert (result["num_images"], result["skipped"]) == (1, {})
    expected = tiled(run, pixels)
    clusters, profile, tags, file = opened(out / "clusters" / "scene.tif")
    assert alike(clusters, expected)
    assert len(np.unique(clusters)) > 1
    assert (str(profile["crs"]), profile["transform"]) == (CRS, TRANSFORM)
    assert (file.height, file.width) == SIZE
    assert (profile["dtype"], profile["nodata"]) == ("uint8", 255)
    assert (profile["compress"], profile["tiled"]) == ("deflate", True)
    assert json.loads(tags["names"]) == {
        str(i): MAPPING.class_names[c] for i, c in enumerate(MAPPING.classes) if c >= 0
    }
    with rasterio.open(out / "clusters" / "scene.tif") as file:
        table = file.colormap(1)
    assert [table[i][:3] for i in range(12)] == [tuple(c) for c in palette(12).tolist()]

    ids, profile, _, _ = opened(out / "ids" / "scene.tif")
    np.testing.assert_array_equal(ids, clusters)
    assert (profile["dtype"], profile["nodata"]) == ("uint16", 65535)
    classes, profile, tags, _ = opened(out / "classes" / "scene.tif")
    of = np.asarray(MAPPING.classes)
    np.testing.assert_array_equal(classes, np.where(of < 0, 255, of)[clusters])
    assert (str(profile["crs"]), json.loads(tags["names"])) == (CRS, {"0": "sky", "1": "road"})
    drawn, profile, _, _ = opened(out / "overlays" / "scene.tif")
    assert drawn.shape == (3, *SIZE)
    assert profile["transform"] == TRANSFORM
    assert (np.abs(drawn.transpose(1, 2, 0).astype(int) - pixels).max(axis=2) > 0).mean() > 0.9

    (image,) = json.loads((out / "manifest.json").read_text())["images"]
    assert (image["clusters"], image["width"]) == ("clusters/scene.tif", SIZE[1])
    assert predict(run, path, out, options=Options(format=("png", "ids")))["num_kept"] == 1
    (out / "ids" / "scene.tif").unlink()
    assert predict(run, path, out, options=Options(format=("png", "ids")))["num_kept"] == 0
    assert (out / "ids" / "scene.tif").is_file()


def test_an_overlay_does_not_show_where_its_parts_meet(run, pixels, tmp_path):
    from raynef.report.palette import overlay

    out = tmp_path / "out"
    predict(run, write(tmp_path / "scene.tif", pixels), out)
    clusters = opened(out / "clusters" / "scene.tif")[0]
    drawn = opened(out / "overlays" / "scene.tif")[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(drawn, overlay(pixels, clusters, palette(12)))


def test_a_window_may_be_chosen_and_groups_too(run, pixels, untrained_run, tmp_path):
    path = write(tmp_path / "scene.tif", pixels)
    predict(run, path, tmp_path / "out", options=Options(tile=96, overlay="none"))
    assert alike(opened(tmp_path / "out" / "clusters" / "scene.tif")[0], tiled(run, pixels, 96))
    assert not (tmp_path / "out" / "overlays").exists()
    with pytest.raises(UserError, match="multiple of the patch size"):
        predict(run, path, tmp_path / "out", options=Options(tile=50))


def test_many_clusters_are_sixteen_bits(untrained_run, pixels, tmp_path):
    run = untrained_run(num_clusters=256)
    predict(run, write(tmp_path / "a.tiff", pixels), tmp_path / "out")
    found, profile, _, _ = opened(tmp_path / "out" / "clusters" / "a.tif")
    assert (profile["dtype"], profile["nodata"]) == ("uint16", 65535)
    assert alike(found, tiled(run, pixels))


def test_sixteen_bits_are_stretched_by_percentiles(run, pixels, tmp_path):
    """Reflectances that use a part of the range are seen as the picture that they are."""
    values = pixels.astype(np.uint16) * 9 + 700
    values[0, :5] = 65000  # a glint, which does not make the rest black
    path = write(tmp_path / "scene.tif", values)
    expected = np.empty_like(pixels)
    for band in range(3):
        low, high = np.percentile(values[..., band], (2, 98))
        scaled = (values[..., band] - low) / (high - low)
        expected[..., band] = np.rint(scaled.clip(0, 1) * 255)
    with open_geotiff(path, Colors()) as scene:
        seen = scene.read(0, SIZE[0])
        part = scene.read(40, 60)
    assert np.abs(seen.pixels.astype(int) - expected).max() <= 1
    assert seen.valid.all()
    np.testing.assert_array_equal(part.pixels, seen.pixels[40:60])
    with open_geotiff(path, Colors(value_range=(700, 700 + 9 * 255))) as scene:
        assert np.abs(scene.read(1, SIZE[0]).pixels.astype(int) - pixels[1:]).max() <= 1
    predict(run, path, tmp_path / "out")
    assert alike(opened(tmp_path / "out" / "clusters" / "scene.tif")[0], tiled(run, seen.pixels))


def test_bands_are_chosen(run, pixels, tmp_path):
    five = np.concatenate([pixels, pixels[..., ::-1][..., :2]], axis=-1)
    path = write(tmp_path / "scene.tif", five)
    shown = {
        None: pixels,
        (3, 2, 1): pixels[..., ::-1],
        (4, 2, 5): five[..., [3, 1, 4]],
        (2,): np.repeat(pixels[..., 1:2], 3, axis=-1),
    }
    for bands, expected in shown.items():
        with open_geotiff(path, Colors(bands)) as scene:
            np.testing.assert_array_equal(scene.read(0, SIZE[0]).pixels, expected)
    two, alpha = tmp_path / "two.tif", tmp_path / "alpha.tif"
    write(two, pixels[..., :2])
    write(
        alpha, np.dstack([pixels[..., 0], np.full(SIZE, 255, np.uint8)]), photometric="minisblack"
    )
    for path in (two, alpha):
        with open_geotiff(path, Colors()) as scene:
            gray = scene.read(0, SIZE[0]).pixels
        np.testing.assert_array_equal(gray, np.repeat(pixels[..., :1], 3, axis=-1))
    with pytest.raises(UserError, match=r"--bands must be one or three .* got \(1, 2\)"):
        predict(run, path, tmp_path / "out", options=Options(colors=Colors((1, 2))))
    with pytest.raises(UserError, match=r"two.tif: has 2 band\(s\), no band 7"):
        predict(run, two, tmp_path / "out", options=Options(colors=Colors((7, 1, 2))))


def test_other_bands_are_other_settings(run, pixels, tmp_path, caplog):
    path, out = write(tmp_path / "scene.tif", pixels), tmp_path / "out"
    predict(run, path, out)
    before = opened(out / "clusters" / "scene.tif")[0]
    with caplog.at_level(logging.WARNING, "raynef"):
        predict(run, path, out, options=Options(colors=Colors((3, 3, 1))))
    assert "other settings (bands)" in caplog.text
    assert (opened(out / "clusters" / "scene.tif")[0] != before).any()


@pytest.mark.parametrize("how", ["nodata", "mask", "nan"])
def test_pixels_without_a_value_are_in_no_cluster(how, run, pixels, tmp_path):
    out, empty = tmp_path / "out", np.zeros(SIZE, bool)
    empty[:, :130] = empty[250:] = True
    values = pixels.astype(np.float32 if how == "nan" else np.uint8)
    values[0, 200, 0] = 0  # one band alone, which does not make the pixel empty
    values[~empty] = np.maximum(values[~empty], 1)
    values[empty] = np.nan if how == "nan" else 0
    profile = {"nodata": 0} if how == "nodata" else {}
    alpha = ~empty if how == "mask" else None
    path = write(tmp_path / "scene.tif", values, alpha=alpha, **profile)
    formats = Options(format=FORMATS, colors=Colors(value_range=(0, 255)))
    predict(run, path, out, options=formats)
    for kind, nodata in (("clusters", 255), ("ids", 65535), ("classes", 255)):
        found = opened(out / kind / "scene.tif")[0]
        assert (found[empty] == nodata).all()
    clusters = opened(out / "clusters" / "scene.tif")[0]
    assert (clusters[~empty] < 12).all()
    mean = np.rint(values[~empty].mean(axis=0)).astype(np.uint8)
    filled = np.where(empty[..., None], mean, values).astype(np.uint8)
    assert alike(clusters[~empty], tiled(run, filled)[~empty])
    with rasterio.open(out / "overlays" / "scene.tif") as file:
        np.testing.assert_array_equal(file.dataset_mask() == 0, empty)
    segment = np.asarray([*MAPPING.classes, *[-1] * 244]) + 1  # 0 is none
    with Image.open(out / "panoptic" / "scene.png") as image:
        np.testing.assert_array_equal(np.asarray(image)[..., 0], segment[clusters])


def test_a_jpeg_overlay_and_points_on_the_ground(run, pixels, tmp_path):
    out = tmp_path / "out"
    points = [
        rasterio.control.GroundControlPoint(row=r, col=c, x=10 + c / 100, y=50 - r / 100)
        for r, c in ((0, 0), (0, 400), (290, 0), (290, 400))
    ]
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=SIZE[0], width=SIZE[1], count=3, dtype="uint8",
        gcps=points, crs="EPSG:4326",
    ) as file:  # fmt: skip
        file.write(pixels.transpose(2, 0, 1))
    predict(run, path, out, options=Options(overlay="jpeg"))
    with rasterio.open(out / "overlays" / "scene.tif") as file:
        assert file.profile["compress"] == "jpeg"
        found, system = file.gcps
    assert [(p.row, p.col, p.x, p.y) for p in found] == [(p.row, p.col, p.x, p.y) for p in points]
    assert str(system) == "EPSG:4326"


def test_plain_tiffs_are_photographs(run, pixels, tmp_path):
    """As without the extra: what is at hand does not change what a photograph's clusters are."""
    path, out = tmp_path / "plain.tif", tmp_path / "out"
    Image.fromarray(pixels).save(path)
    assert kind_of(str(path)) == "photograph"
    predict(run, path, out)
    with Image.open(out / "clusters" / "plain.png") as image:
        np.testing.assert_array_equal(np.asarray(image), Segmenter.load(run)(pixels).clusters)
    seven = write(tmp_path / "seven.tif", np.dstack([pixels, pixels, pixels[..., 0]]), crs=None,
                  transform=rasterio.Affine.identity())  # fmt: skip
    assert kind_of(str(seven)) == "unlike"
    predict(run, seven, tmp_path / "seven")
    assert (tmp_path / "seven" / "clusters" / "seven.tif").is_file()


@pytest.mark.parametrize("name", ["scene.tif", "SCENE.TIFF"])
def test_a_damaged_scene_is_skipped_and_named(name, run, pixels, tmp_path):
    folder, out = tmp_path / "scenes", tmp_path / "out"
    folder.mkdir()
    path = write(folder / "whole.tif", pixels, compress="deflate", tiled=True, blockxsize=64,
                 blockysize=64)  # fmt: skip
    content = bytearray(path.read_bytes())
    content[len(content) // 3 :] = b"\0" * (len(content) - len(content) // 3)
    (folder / name).write_bytes(content)
    (folder / "text.tif").write_bytes(b"no image")
    result = predict(run, folder, out)
    assert result["num_images"] == 1
    assert set(result["skipped"]) == {name, "text.tif"}
    assert result["skipped"]["text.tif"] == "not a TIFF, or a damaged one"
    assert all("damaged" in reason for reason in result["skipped"].values())
    assert str(folder) not in json.dumps(result["skipped"])
    assert sorted(p.name for p in (out / "clusters").iterdir()) == ["whole.tif"]


def test_a_crf_does_not_take_a_scene(run, pixels, tmp_path):
    pytest.importorskip("pydensecrf", reason="pydensecrf2, of the extra crf")
    path = write(tmp_path / "scene.tif", pixels)
    with pytest.raises(UserError, match="leave out --crf"):
        predict(run, path, tmp_path / "out", options=Options(crf=True))


def test_without_the_extra_it_is_said_what_is_lost(run, pixels, tmp_path, monkeypatch, caplog):
    folder, out = tmp_path / "scenes", tmp_path / "out"
    folder.mkdir()
    path = write(folder / "scene.tif", pixels)
    write(folder / "seven.tif", np.dstack([pixels, pixels, pixels[..., 0]]))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with caplog.at_level(logging.WARNING, "raynef"):
        result = predict(run, folder, out)
    assert "georeference is not kept (scene.tif)" in caplog.text
    assert "pip install 'raynef[geo]'" in caplog.text
    with Image.open(out / "clusters" / "scene.png") as image:
        np.testing.assert_array_equal(np.asarray(image), Segmenter.load(run)(pixels).clusters)
    assert "needs the extra geo" in result["skipped"]["seven.tif"]
    with pytest.raises(UserError, match=r"--bands and --value-range need the extra geo"):
        predict(run, path, out, options=Options(colors=Colors((1, 2, 3))))
    with pytest.raises(BadImageError, match="needs the extra geo"), open_geotiff(path, Colors()):
        pass


def test_scenes_at_an_address(run, pixels, tmp_path):
    from raynef.io.sink import write_bytes
    from raynef.io.storage import list_files, read_bytes

    place = f"fsspec+memory:///{tmp_path.name}"
    write_bytes(f"{place}/in/scene.tif", write(tmp_path / "a.tif", pixels).read_bytes())
    assert predict(run, f"{place}/in", f"{place}/out")["num_images"] == 1
    assert "clusters/scene.tif" in list_files(f"{place}/out")
    (tmp_path / "b.tif").write_bytes(read_bytes(f"{place}/out/clusters/scene.tif"))
    found, profile, _, _ = opened(tmp_path / "b.tif")
    assert alike(found, tiled(run, pixels))
    assert str(profile["crs"]) == CRS
    assert predict(run, f"{place}/in", f"{place}/out")["num_kept"] == 1
