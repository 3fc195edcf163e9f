"""The feature store: skipped files, resumption, reuse, damage."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raynef.core.errors import UserError
from raynef.features.backbone import load_backbone
from raynef.features.extract import Features, extract_features
from raynef.images.augment import augment
from raynef.images.datasets.registry import open_split
from raynef.images.decode import read_image
from raynef.jobs import extract as features_module
from raynef.jobs.extract import ensure_store, scan
from raynef.stores.features import FeatureStore, as_bytes, from_bytes, store_key, write_shard
from raynef.stores.keys import differences
from raynef.stores.progress import StoreProgress
from raynef.work import units as units_module
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("without_ray")


def spoil(root: Path) -> set[str]:
    """Four files that are no usable image, and three odd ones that are. Their names."""
    images = root / "images"
    whole = (images / "train_00000.jpg").read_bytes()
    (images / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (images / "empty.png").write_bytes(b"")
    (images / "text.jpg").write_text("no image")
    (images / "bytes.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(64)))
    draws = np.random.default_rng(0)
    Image.fromarray(draws.integers(0, 65535, (70, 80), dtype=np.uint16)).save(images / "deep.png")
    Image.fromarray(draws.integers(0, 255, (70, 80, 4), dtype=np.uint8)).save(images / "rgba.png")
    Image.new("RGB", (1, 1), (9, 99, 199)).save(images / "dot.png")
    (root / "train.txt").unlink()
    (root / "val.txt").unlink()
    return {"truncated.jpg", "empty.png", "text.jpg", "bytes.png"}


@pytest.mark.parametrize(("most", "times"), [(8, 1), (2, 2)])
def test_views_of_an_image_are_decoded_together(recipe, tmp_path, monkeypatch, most, times):
    decoded, real = [], units_module.read_image

    def counted(path):
        decoded.append(path)
        return real(path)

    monkeypatch.setattr(units_module, "read_image", counted)
    monkeypatch.setattr(features_module, "MOST_VIEWS", most)
    several = change(recipe, data={"num_views": 3})
    images = open_split(several.data, "train")
    store = ensure_store(several, images, tmp_path / "store")
    assert sorted(decoded) == sorted(times * [file.path for file in images.files])
    assert all(len(store.read(store.images(), view=view).taps) == 10 for view in range(3))


def test_bad_files_are_skipped_counted_and_named(recipe, copy_of_sample, tmp_path):
    bad = spoil(copy_of_sample)
    spoiled = change(recipe, data={"root": str(copy_of_sample), "max_bad_fraction": 0.3})
    images = open_split(spoiled.data, "train")
    store = ensure_store(spoiled, images, tmp_path / "store")
    assert set(store.skipped) == bad
    assert "truncated" in store.skipped["truncated.jpg"]
    assert len(store.images()) == len(images.files) - len(bad) == 17
    usable, skipped = scan(spoiled.data, images)
    assert usable == store.images()
    assert skipped == store.skipped

    strict = change(spoiled, data={"max_bad_fraction": 0.05})
    with pytest.raises(UserError, match=r"4 of 21 images .*max_bad_fraction = 0.05") as caught:
        scan(strict.data, images)
    assert all(name in str(caught.value) for name in bad)


def test_a_store_holds_what_the_backbone_yields_and_is_used_again(recipe, tmp_path, monkeypatch):
    images = open_split(recipe.data, "train")
    store = ensure_store(recipe, images, tmp_path / "store")
    backbone = load_backbone(recipe.backbone)
    for index, view in ((0, 0), (7, 1)):
        pixels = read_image(images.files[index].path)
        seen = augment(pixels, recipe.data, seed=0, view=view, index=index)
        expected = extract_features(backbone, seen.pixels[None], np.array([seen.extent]))
        found = store.read([index], view=view)
        assert found.taps.dtype == torch.float16
        assert torch.allclose(found.taps.float(), expected.taps, rtol=1e-2, atol=1e-2)
        assert torch.allclose(found.thumbnails.float(), expected.thumbnails, atol=1e-3)
        assert torch.equal(found.valid, expected.valid)

    monkeypatch.setattr(features_module, "stream", None)  # reuse computes nothing
    again = ensure_store(recipe, images, tmp_path / "store")
    assert again.images() == store.images()
    other = change(recipe, data={"flip": 0.0})
    with pytest.raises(UserError, match=r"data.flip is 0.5 there, 0.0 here"):
        ensure_store(other, images, tmp_path / "store")


def test_an_interrupted_extraction_resumes(recipe, tmp_path, monkeypatch):
    images = open_split(recipe.data, "train")
    folder = tmp_path / "store"
    monkeypatch.setattr(features_module, "images_per_shard", lambda recipe: 4)
    real, asked = features_module.stream, []

    def interrupted(units, **kwargs):
        asked.append([unit.file for of_some_images in units for unit in of_some_images])
        for count, result in enumerate(real(units, **kwargs)):
            if len(asked) == 1 and count == 2:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(features_module, "stream", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ensure_store(recipe, images, folder)
    with pytest.raises(UserError, match="no finished feature store"):
        FeatureStore(folder)
    with (folder / "progress.jsonl").open("a") as journal:
        journal.write('{"shard": {"file": "shard-0')  # as a kill leaves it
    store = ensure_store(recipe, images, folder)
    assert len(asked[0]) == 6
    assert len(asked[1]) <= 4  # two were noted; more of them may lie there, whole
    assert store.images() == list(range(10))
    assert not (folder / "progress.jsonl").exists()


def shard_of(folder: Path, images: list[int], view: int = 0, bits: int = 16):
    size = len(images)
    generator = torch.Generator().manual_seed(view)
    features = Features(
        taps=torch.randn((size, 3, 4, 8), generator=generator),
        thumbnails=torch.rand((size, 2, 2, 3), generator=generator),
        valid=torch.ones((size, 2, 2), dtype=torch.bool),
    )
    file = f"shard-{view:06d}.parquet"
    return features, write_shard(
        folder, file=file, view=view, images=images, features=features, bits=bits
    )


def test_eight_bits_are_within_half_a_step_of_each_channel(tmp_path):
    journal = StoreProgress(tmp_path, {"num_views": 1, "stored_bits": 8})
    features, shard = shard_of(tmp_path, [5, 2, 9], bits=8)
    journal.add(shard, {})
    journal.complete()
    found = FeatureStore(tmp_path).read([9, 5], view=0)
    taps = features.taps[[2, 0]]
    steps = (taps.amax(dim=2) - taps.amin(dim=2)) / 255
    wrong = (found.taps.float() - taps).abs().amax(dim=2)
    assert (wrong <= 0.5 * steps + 2e-3).all()  # half a step, and half precision
    assert (wrong > 0.2 * steps).any()
    assert torch.equal(found.thumbnails, features.thumbnails[[2, 0]].half())


def test_a_channel_of_one_value_comes_back():
    taps = torch.full((1, 3, 4, 8), -2.5)
    assert torch.equal(from_bytes(*as_bytes(taps)), taps.half())


def test_stores_of_other_bits_are_others(recipe, tmp_path):
    images = open_split(recipe.data, "train")
    eight = change(recipe, data={"stored_bits": 8})
    assert store_key(eight, images) == {**store_key(recipe, images), "stored_bits": 8}
    sizes = []
    for bits, asked in ((16, recipe), (8, eight)):
        store = ensure_store(asked, images, tmp_path / str(bits))
        assert store.bits == bits
        sizes.append(sum(path.stat().st_size for path in store.folder.glob("*.parquet")))
        with pytest.raises(UserError, match="stored_bits"):
            ensure_store(change(recipe, data={"stored_bits": 24 - bits}), images, store.folder)
    assert sizes[1] < 0.8 * sizes[0]  # of sixteen patches a view: the scale of a channel weighs


def test_shards_round_trip_in_half_precision_row_by_row(tmp_path):
    journal = StoreProgress(tmp_path, {"num_views": 2})
    expected = {}
    for view in (0, 1):
        expected[view], shard = shard_of(tmp_path, [5, 2, 9], view)
        journal.add(shard, {})
    journal.complete()
    store = FeatureStore(tmp_path)
    assert store.images() == [2, 5, 9]
    found = store.read([9, 5], view=1)
    assert torch.equal(found.taps, expected[1].taps[[2, 0]].half())
    assert torch.equal(found.thumbnails, expected[1].thumbnails[[2, 0]].half())


def test_damage_is_found_and_named(tmp_path):
    journal = StoreProgress(tmp_path, {"num_views": 1})
    _, shard = shard_of(tmp_path, [0, 1])
    journal.add(shard, {})
    journal.complete()
    path = tmp_path / shard.file
    whole = bytearray(path.read_bytes())
    flipped = whole.copy()
    flipped[len(whole) // 6] ^= 0xFF
    path.write_bytes(flipped)
    with pytest.raises(UserError, match=rf"{shard.file} is damaged"):
        FeatureStore(tmp_path).read([0, 1], view=0)
    path.write_bytes(whole[:-10])
    with pytest.raises(UserError, match=rf"{shard.file} is missing or has another size"):
        FeatureStore(tmp_path)


def test_a_journal_of_another_recipe_is_refused(tmp_path):
    StoreProgress(tmp_path, {"tap": "norm"})
    with pytest.raises(UserError, match=r"backbone.tap is 'norm' there, 'keys' here"):
        StoreProgress(tmp_path, {"tap": "keys"})


def test_what_differs_between_stores_is_said_in_words(recipe, copy_of_sample, tmp_path):
    key = store_key(recipe, open_split(recipe.data, "train"))
    copied = change(recipe, data={"root": str(copy_of_sample)})
    listed = copy_of_sample / "train.txt"
    listed.write_text(listed.read_text() + "val_00000\n")
    more = store_key(copied, open_split(copied.data, "train"))
    assert differences(key, more) == ["the image files: 10 there, 11 here"]
    other = {**key, "files": "0", "weights": "0", "format": 0, "seed": 5, "crop": 80, "stride": 8}
    assert differences(key, other) == [
        "the image files: 10 there and here, but names or sizes differ",
        "it was made by another version of raynef",
        "data.crop is 64 there, 80 here",
        "data.view_seed is 0 there, 5 here",
        "the backbone's weights differ (backbone.weights)",
        "the stride is None there, 8 here",
    ]
    assert key["hue_degrees"] == 36
    older = {name: value for name, value in key.items() if name != "hue_degrees"}
    assert differences(older, key) == ["it was made by another version of raynef"]
    plain = store_key(change(recipe, data={"photometric": False}), open_split(recipe.data, "train"))
    assert differences(plain, key) == ["data.photometric is False there, True here"]
    StoreProgress(tmp_path, key)
    with pytest.raises(UserError, match=r"images: the image files: 10 there, 11 here. Give"):
        StoreProgress(tmp_path, more)


def test_the_key_knows_files_weights_and_views(recipe, copy_of_sample):
    images = open_split(recipe.data, "train")
    key = store_key(recipe, images)
    assert key == json.loads(json.dumps(key))
    copied = change(recipe, data={"root": str(copy_of_sample)})
    assert store_key(copied, open_split(copied.data, "train")) == key
    first = Path(open_split(copied.data, "train").files[0].path)
    first.write_bytes(first.read_bytes() + b"\0")
    assert store_key(copied, open_split(copied.data, "train"))["files"] != key["files"]
    assert store_key(change(recipe, data={"num_views": 3}), images) != key
    assert store_key(change(recipe, data={"label_orientation": "stored"}), images) == key
    assert store_key(change(recipe, backbone={"tap": "keys"}), images) != key
