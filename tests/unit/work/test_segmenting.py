"""Images that go through the segmenter together, and in which units they travel."""

import numpy as np
import pytest
import torch
from PIL import Image

from raynef.config.recipe import Evaluate
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import ImageFile
from raynef.images.decode import read_image
from raynef.images.geometry import resize
from raynef.jobs.predict import Options, predict
from raynef.models.segmenter import Segmenter
from raynef.segment.patch_map import cluster_maps
from raynef.segment.upsample import upsample_argmax
from raynef.segment.windows import sliding_windows
from raynef.work.maps import CountingActor, Example, Scoring
from raynef.work.reading import Photo
from raynef.work.segmenting import patch_maps, predict_units

pytestmark = pytest.mark.usefixtures("one_thread", "without_ray")

MOST_OTHER = 1e-4
"""Share of pixels that may be of another cluster among others than alone: sums are rounded in
another order, which decides where two clusters are as good as equal."""


@pytest.fixture(scope="module")
def photos(sample):
    """Seven photographs of three sizes."""
    images = [read_image(path) for path in sorted((sample / "images").glob("*.jpg"))[:4]]
    other = [np.asarray(Image.fromarray(image).resize((90, 60))) for image in images[:2]]
    found = [*images, *other, np.rot90(other[0]).copy()]
    return {3 * index: Photo(image, "") for index, image in enumerate(found)}


def clusters(segmenter, photos, at_once):
    maps = patch_maps(segmenter, photos, at_once=at_once)
    return {i: cluster_maps([found], photos[i].pixels.shape[:2])[0] for i, found in maps}


def test_a_batch_gives_what_each_image_gives_alone(run_here, photos):
    segmenter = Segmenter.load(run_here[0])
    alone, batched = (clusters(segmenter, photos, at_once) for at_once in (1, 16))
    assert alone.keys() == batched.keys() == photos.keys()
    for index, photo in photos.items():
        single = segmenter(photo.pixels).clusters
        np.testing.assert_array_equal(alone[index], single)
        assert batched[index].shape == single.shape
        assert (batched[index] != single).mean() <= MOST_OTHER
    assert len(np.unique(alone[0])) > 1


def test_images_of_one_size_go_together(run_here, photos, monkeypatch):
    segmenter, passes = Segmenter.load(run_here[0]), []
    inner = segmenter.patch_logits

    def counted(pixels):
        passes.append(len(pixels))
        return inner(pixels)

    monkeypatch.setattr(segmenter, "patch_logits", counted)
    list(patch_maps(segmenter, photos, at_once=3))
    assert sorted(passes) == [1, 1, 2, 3]


def test_logits_of_a_batch_are_those_of_each_up_to_rounding(run_here, photos):
    segmenter = Segmenter.load(run_here[0])
    seen = np.stack([segmenter.seen(photo.pixels) for photo in list(photos.values())[:4]])
    batched = segmenter.patch_logits(seen)
    for number, image in enumerate(seen):
        single = segmenter.patch_logits(image[None])[0]
        assert (batched[number] - single).abs().max() <= 1e-5 * single.abs().max()


def test_units_hold_few_images_and_few_bytes(tmp_path):
    sizes = [1] * 20 + [5 << 20] * 3 + [20 << 20] + [1] * 2
    files = []
    for number, size in enumerate(sizes):
        path = tmp_path / f"{number}.png"
        with path.open("wb") as file:
            file.truncate(size)
        files.append(ImageFile(path.name, str(path)))
    units = predict_units(files, [file.name for file in files])
    assert [len(unit.images) for unit in units] == [16, 5, 1, 1, 1, 2]
    assert [index for unit in units for index in unit.images] == list(range(len(files)))
    assert all(unit.outputs == tuple(file.name for file in unit.files) for unit in units)


@pytest.mark.parametrize("size", [(70, 150), (64, 64), (40, 130)])
def test_tiles_are_blended_as_the_sliding_protocol_does(run_here, photos, size):
    """Evaluation's code on the same windows."""
    segmenter = Segmenter.load(run_here[0])
    pixels = np.asarray(Image.fromarray(photos[0].pixels).resize(size[::-1]))
    seen = resize(pixels, (max(48, size[0]), size[1]))  # 40 rows are two and a half patches
    evaluate = Evaluate(protocol="sliding", window=48, stride=24, batch_size=2)
    scoring = Scoring(evaluate, None, (1, segmenter.num_clusters, 1))
    actor = CountingActor(str(run_here[0]), "cpu", scoring=scoring)
    example = Example("x", seen, np.zeros(size, np.uint8), None)
    windows = sliding_windows((seen.shape[0], seen.shape[1]), window=48, stride=24)
    assert windows.count > 1
    logits, grid = actor.logits([example], windows, evaluate.batch_size)
    rows, columns = windows.matrices(grid, size, cell=segmenter.cell(windows.window))
    expected = upsample_argmax(logits, rows, columns)[0].numpy()
    clusters = cluster_maps([segmenter.tiled(pixels, 48)], size)[0]
    assert len(np.unique(expected)) > 1
    assert (clusters != expected).mean() <= MOST_OTHER


def test_a_tile_that_holds_the_image_is_the_whole_image(run_here, photos):
    segmenter, pixels = Segmenter.load(run_here[0]), photos[0].pixels[:64, :80]
    (whole,) = segmenter.patch_maps(pixels[None])
    assert torch.equal(segmenter.tiled(pixels, 800).logits, whole.logits)


@pytest.mark.parametrize("tile", [0, 8, 50])
def test_a_tile_is_of_whole_patches(run_here, tile):
    with pytest.raises(UserError, match="multiple of the patch size, 16 pixels, got"):
        Segmenter.load(run_here[0]).require_tile(tile)


def test_tiles_show_what_the_whole_image_is_too_small_for(run_here, photos, tmp_path):
    """Prediction at full resolution, by the command's own job."""
    path = tmp_path / "large.png"
    Image.fromarray(photos[0].pixels).resize((300, 200)).save(path)
    run, out = run_here[0], tmp_path / "out"
    predict(run, path, out, options=Options(tile=96))
    found = np.asarray(Image.open(out / "clusters" / "large.png"))
    segmenter, pixels = Segmenter.load(run), read_image(path)
    expected = cluster_maps([segmenter.tiled(pixels, 96)], (200, 300))[0]
    np.testing.assert_array_equal(found, expected)
    assert (found != segmenter(pixels).clusters).any()
    assert predict(run, path, out, options=Options(tile=64))["num_kept"] == 0
