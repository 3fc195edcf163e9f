"""Images that lie at an address give what those on a disk give."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raynef.cluster.place import this_process
from raynef.core.errors import UserError
from raynef.eigen.psi import AttentionPsi
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image
from raynef.io.storage import absolute, join
from raynef.jobs.extract import ensure_store, scan
from raynef.jobs.predict import predict
from raynef.models.segmenter import Segmenter
from raynef.stores.features import store_key
from raynef.work import sources
from tests.s3_server import s3_server
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture(scope="module")
def server(sample):
    with s3_server(sample) as running:
        yield running


@pytest.fixture(params=["file", "s3"])
def address(request, sample, server) -> str:
    return f"file://{sample}" if request.param == "file" else server.address()


@pytest.fixture(scope="module")
def stored(recipe, one_thread, tmp_path_factory):
    images = open_split(recipe.data, "train")
    with this_process():
        return ensure_store(recipe, images, tmp_path_factory.mktemp("addresses") / "store")


def test_extraction(stored, recipe, address, tmp_path):
    there = change(recipe, data={"root": absolute(address)})
    images = open_split(there.data, "train")
    assert store_key(there, images) == stored.key
    store = ensure_store(there, images, tmp_path / "store")
    assert store.images() == stored.images()
    assert store.skipped == {}
    for view in range(store.num_views):
        here, found = (s.read(s.images(), view=view) for s in (stored, store))
        assert torch.equal(found.taps, here.taps)
        assert torch.equal(found.thumbnails, here.thumbnails)


def test_a_file_that_is_gone_is_skipped_with_its_reason(recipe, copy_of_sample):
    root = f"file://{copy_of_sample}"
    images = open_split(change(recipe, data={"root": root}).data, "train")
    Path(copy_of_sample, "images", images.files[3].name).unlink()
    usable, skipped = scan(recipe.data, images)
    assert usable == [0, 1, 2, *range(4, 10)]
    assert skipped == {images.files[3].name: "cannot be read (No such file or directory)"}


def test_s3_that_fails_now_and_then(recipe, server):
    images = open_split(change(recipe, data={"root": server.address()}).data, "train")
    server.failures = 3
    assert scan(recipe.data, images) == (list(range(10)), {})
    assert server.failures == 0


@pytest.fixture(scope="module")
def segmenter(recipe, tmp_path_factory) -> Path:
    backbone = load_backbone(recipe.backbone)
    psi = AttentionPsi(NUM_TAPS * backbone.dim, 12).plain()
    folder = tmp_path_factory.mktemp("addresses") / "segmenter"
    Segmenter(backbone, psi, backbone_config=recipe.backbone, short_side=64).save(folder)
    return folder


def test_prediction(segmenter, sample, address, tmp_path):
    result = predict(segmenter, join(address, "images"), tmp_path / "maps")
    assert (result["num_images"], result["skipped"]) == (14, {})
    clusters = np.asarray(Image.open(tmp_path / "maps/clusters/val_00001.png"))
    direct = Segmenter.load(segmenter)(sample / "images/val_00001.jpg")
    assert np.array_equal(clusters, direct.clusters)
    (one,) = sources.image_files(join(address, "images", "val_00001.jpg"))
    assert one.name == "val_00001.jpg"
    assert np.array_equal(read_image(one.path), read_image(sample / "images/val_00001.jpg"))


def test_a_source_that_is_not_there_is_named_without_its_keys(segmenter, server, tmp_path):
    with pytest.raises(UserError, match=r"^s3://bucket/none is neither an image nor a folder$"):
        predict(segmenter, join(server.address(), "none"), tmp_path)
