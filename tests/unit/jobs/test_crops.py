"""Crops of a run's images: made once, the same again, and said plainly where they cannot be."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.core.errors import UserError
from raynef.jobs import crops
from raynef.jobs.crops import crops_of
from raynef.models.segmenter import Segmenter
from raynef.stores.crops import KINDS, CropFolder
from raynef.stores.run import RunFolder
from raynef.work import crop_making
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture
def run(run_here, tmp_path):
    left_out = shutil.ignore_patterns("store", "checkpoints")
    return Path(shutil.copytree(run_here[0], tmp_path / "run", ignore=left_out))


def bytes_of(folder: CropFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.glob("*.jpg")}


def test_crops_of_a_run_are_made_once(run, sample, monkeypatch):
    folder, index = crops_of(run)
    assert folder.path.parent == run / "naming"
    assert index.num_images == 10
    segmenter = Segmenter.load(run)
    pixels = np.zeros(12)
    for path in sorted((sample / "images").glob("train_*")):
        small = np.asarray(Image.open(path).resize((80, 64)))
        assert segmenter.seen(np.zeros((96, 128, 3), np.uint8)).shape == (64, 80, 3)
        pixels += np.bincount(segmenter.clusters(small[None])[0].ravel(), minlength=12)
    np.testing.assert_allclose(np.array(index.pixels), pixels, atol=600)  # of another resampling
    assert sum(index.pixels) == 10 * 64 * 80
    made = bytes_of(folder)
    assert len(made) == sum(map(sum, index.counts))
    for cluster, counts in enumerate(index.counts):
        assert (index.pixels[cluster] > 0) == (counts[0] > 0)
        for kind, count in zip(KINDS, counts, strict=True):
            for number in range(count):
                with Image.open(folder.crop(cluster, kind, number)) as crop:
                    assert crop.size == (crop_making.SIDE, crop_making.SIDE)
    assert not (folder.path / "maps").exists()
    monkeypatch.setattr(crop_making, "LookActor", None)  # nothing is segmented again
    assert crops_of(run) == (folder, index)
    assert crops_of(run / "segmenter") == (folder, index)
    shutil.rmtree(run / "naming")
    monkeypatch.undo()
    assert bytes_of(crops_of(run)[0]) == made


def test_a_killed_one_goes_on(run, monkeypatch):
    looked = []

    class Few(crop_making.LookActor):
        def __call__(self, read):
            looked.append(sorted(read.values))
            if len(looked) == 3:
                raise KeyboardInterrupt
            return super().__call__(read)

    monkeypatch.setattr(crop_making, "LookActor", Few)
    with pytest.raises(KeyboardInterrupt):
        crops_of(run)
    assert looked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    looked[:] = [[]] * 3
    folder, _ = crops_of(run)
    assert looked[3:] == [[8, 9]]
    whole = bytes_of(folder)
    shutil.rmtree(run / "naming")
    assert bytes_of(crops_of(run)[0]) == whole


def test_crops_outlive_their_images_and_belong_to_their_weights(run, recipe, tmp_path):
    shutil.copytree(recipe.data.root, tmp_path / "moved")
    record, root = RunFolder(run).record_file, str(tmp_path / "moved")
    record.write_text(record.read_text().replace(recipe.data.root, root))
    assert RunFolder(run).recipe() == change(recipe, data={"root": root})
    made = crops_of(run)
    shutil.rmtree(tmp_path / "moved")
    assert crops_of(run) == made
    weights = run / "segmenter" / "model.safetensors"
    spoiled = bytearray(weights.read_bytes())
    spoiled[-1] ^= 1
    weights.write_bytes(spoiled)
    with pytest.raises(UserError, match=r"the images that the run was trained on: .*--images DIR"):
        crops_of(run)


def test_a_segmenter_alone_wants_images(run, sample, tmp_path):
    alone = Path(shutil.copytree(run / "segmenter", tmp_path / "alone"))
    with pytest.raises(UserError, match=r"alone is a segmenter without its run: .*--images DIR"):
        crops_of(alone)
    folder, index = crops_of(alone, str(sample / "images"))
    assert (folder.path.parent, index.num_images) == (alone / "naming", 14)
    (tmp_path / "few").mkdir()
    shutil.copy(next((sample / "images").iterdir()), tmp_path / "few")
    other, _ = crops_of(alone, str(tmp_path / "few"))
    assert other.path != folder.path
    assert not folder.path.exists()  # those of other images are gone
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_text("no image")
    with pytest.raises(UserError, match="not one image could be read: skipped 1"):
        crops_of(alone, str(tmp_path / "bad"))


def test_images_are_spread_over_all(run, monkeypatch):
    monkeypatch.setattr(crops, "MAX_IMAGES", 4)
    assert crops_of(run)[1].num_images == 4
