"""A store whose files are damaged: named, and recomputed as they were, they alone."""

import json
import logging
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raynef.cluster.place import this_process
from raynef.core.errors import UserError
from raynef.images.datasets.registry import open_split
from raynef.jobs import extract as features_module
from raynef.jobs import shards as shards_module
from raynef.jobs.extract import ensure_store
from raynef.jobs.spectral import features as whole_module
from raynef.jobs.spectral.features import ensure_features
from raynef.stores import verify
from raynef.stores.features import FeatureStore
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(one_thread, recipe, tmp_path_factory):
    """A sound store of six shards."""
    folder = tmp_path_factory.mktemp("damage") / "store"
    with pytest.MonkeyPatch.context() as patch, this_process():
        patch.setattr(features_module, "images_per_shard", lambda recipe: 4)
        ensure_store(recipe, open_split(recipe.data, "train"), folder)
    return folder


@pytest.fixture
def store(made, tmp_path, monkeypatch):
    """A copy that a test may spoil, and shards of four images again."""
    monkeypatch.setattr(features_module, "images_per_shard", lambda recipe: 4)
    return Path(shutil.copytree(made, tmp_path / "store"))


def content(folder: Path) -> dict[str, bytes]:
    names = [*folder.glob("shard-*.parquet"), folder / "manifest.json"]
    return {path.name: path.read_bytes() for path in sorted(names)}


@pytest.fixture
def remake(recipe, monkeypatch):
    """Ask for the store again; the shards that were made."""

    def again(folder: Path, recipe=recipe) -> list[str]:
        asked: list[str] = []
        real = features_module.stream

        def seen(units, **kwargs):
            asked.extend(unit.file for of_some_images in units for unit in of_some_images)
            return real(units, **kwargs)

        with monkeypatch.context() as patch, this_process():
            patch.setattr(features_module, "stream", seen)
            ensure_store(recipe, open_split(recipe.data, "train"), folder)
        return asked

    return again


def truncate(folder: Path) -> set[str]:
    path = folder / "shard-000001.parquet"
    path.write_bytes(path.read_bytes()[:-1000])
    return {path.name}


def flip(folder: Path) -> set[str]:
    path = folder / "shard-000002.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    return {path.name}


def delete(folder: Path) -> set[str]:
    (folder / "shard-000003.parquet").unlink()
    return {"shard-000003.parquet"}


def swap(folder: Path) -> set[str]:
    one, other, aside = (
        folder / name for name in ("shard-000000.parquet", "shard-000003.parquet", "aside")
    )
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    return {one.name, other.name}


def all_of_these(folder: Path) -> set[str]:
    return truncate(folder) | flip(folder) | delete(folder)


@pytest.mark.parametrize("spoil", [truncate, flip, delete, swap, all_of_these])
def test_damaged_shards_are_named_and_made_again(spoil, store, made, remake, caplog):
    assert remake(store) == []  # hashes the copy, and remembers
    damaged = spoil(store)
    with caplog.at_level(logging.WARNING, "raynef"):
        assert set(remake(store)) == damaged
    for name in damaged:
        assert name in caplog.text
    assert content(store) == content(made)
    assert remake(store) == []


def test_what_was_made_here_or_found_right_is_not_hashed_again(store, made, remake, monkeypatch):
    hashed: list[str] = []
    real = verify.digest_of
    monkeypatch.setattr(verify, "digest_of", lambda path: hashed.append(path.name) or real(path))
    assert remake(made) == []
    assert hashed == []  # the process that wrote it knows
    assert remake(store) == []
    assert len(hashed) == 6  # a copy is hashed, once
    hashed.clear()
    os.utime(store / "shard-000004.parquet")
    assert remake(store) == []
    assert hashed == ["shard-000004.parquet"]


def test_damage_that_leaves_no_trace_is_found_by_the_reader_and_made_again(store, made, remake):
    """As a failing disk does it: other bytes, the same times."""
    remake(store)
    file = store / "shard-000000.parquet"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 6] ^= 0xFF
    file.write_bytes(damaged)
    remembered = json.loads((store / "verified.json").read_text())
    now = file.stat()
    remembered[file.name][2:] = [now.st_mtime_ns, now.st_ctime_ns]
    (store / "verified.json").write_text(json.dumps(remembered))
    assert remake(store) == []  # believed, as it says that it is unchanged
    with pytest.raises(UserError, match=rf"{file.name} is damaged .*run the same command"):
        FeatureStore(store).read([0, 1, 2, 3], view=0)
    assert remake(store) == [file.name]
    assert content(store) == content(made)


@pytest.mark.parametrize(
    "left", ['{"key": {"for', "", "[]", '{"key": 3, "shards": [], "skipped": {}}']
)
def test_a_damaged_manifest_is_made_from_the_journal(left, store, made, remake, caplog):
    (store / "manifest.json").write_text(left)
    delete(store)
    with pytest.raises(UserError, match=r"manifest.json is damaged"):
        FeatureStore(store)
    with caplog.at_level(logging.WARNING, "raynef"):
        assert remake(store) == ["shard-000003.parquet"]
    assert "manifest.json is damaged" in caplog.text
    assert content(store) == content(made)


def test_a_damaged_manifest_without_a_journal_says_what_to_do(store, remake):
    (store / "manifest.json").write_text("{")
    (store / "shards.jsonl").unlink()
    with pytest.raises(
        UserError, match=r"manifest.json is damaged.* delete .*/store and run the same"
    ):
        remake(store)


def test_a_damaged_store_of_another_recipe_is_left_alone(store, recipe, remake):
    damaged = flip(store)
    before = content(store)
    other = change(recipe, data={"flip": 0.0})
    for _ in range(2):
        with pytest.raises(UserError, match=r"data.flip is 0.5 there, 0.0 here"):
            remake(store, other)
        assert content(store) == before
        (store / "manifest.json").write_text("{")
        before = content(store)
    assert damaged


@pytest.mark.parametrize(
    "line",
    [
        '{"shard": {"file": "shard-0',
        '{"shard": {"file": "../x"}}',
        "[]",
        '{"shard": null}',
        "\0\0\0\0",
        '{"shard": {"file": 1}}',
    ],
)
def test_a_spoilt_line_of_the_journal_is_no_shard(line, store, made, remake):
    (store / "manifest.json").unlink()
    lines = (store / "shards.jsonl").read_text().splitlines()
    lines[2] = line  # the second shard's, which is then not known
    (store / "shard-000001.parquet").unlink()  # else it would be found
    (store / "progress.jsonl").write_text("\n".join(lines))
    assert remake(store) == ["shard-000001.parquet"]
    assert content(store) == content(made)


def test_a_kill_between_journal_and_manifest_loses_nothing(store, made, remake, monkeypatch):
    damaged = flip(store)

    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shards_module, "fill_shards", killed)
        with pytest.raises(KeyboardInterrupt):
            remake(store)
    assert not (store / "manifest.json").exists()
    assert set(remake(store)) == damaged
    assert content(store) == content(made)


def test_whole_features_are_made_again_too(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(whole_module, "_IMAGES", 4)
    images = open_split(recipe.data, "train")
    with this_process():
        ensure_features(recipe, images, tmp_path, stride=16)
        before = content(tmp_path)
        assert len(before) == 4
        flip(tmp_path)
        delete_first = tmp_path / "shard-000000.parquet"
        delete_first.unlink()
        ensure_features(recipe, images, tmp_path, stride=16)
    assert content(tmp_path) == before


def unfinished(folder: Path, *, told: int) -> dict[str, int]:
    """As a killed driver leaves a store: every shard is there, and some of them are noted."""
    lines = (folder / "shards.jsonl").read_text().splitlines()
    (folder / "progress.jsonl").write_text("\n".join(lines[: 1 + told]) + "\n")
    for name in ("shards.jsonl", "manifest.json", "verified.json"):
        (folder / name).unlink()
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}


def test_a_shard_that_the_driver_did_not_hear_of_is_kept(store, made, remake):
    before = unfinished(store, told=2)
    assert remake(store) == []
    assert content(store) == content(made)
    assert {path.name: path.stat().st_mtime_ns for path in store.glob("*.parquet")} == before


def test_of_those_one_that_is_damaged_or_lacks_an_image_is_made_again(store, made, remake):
    unfinished(store, told=1)
    flip(store)
    fewer, whole = store / "shard-000005.parquet", store / "shard-000004.parquet"
    pq.write_table(pq.read_table(whole).slice(0, 1), fewer)
    assert set(remake(store)) == {"shard-000002.parquet", fewer.name}
    assert content(store) == content(made)


def test_without_a_journal_no_shard_is_believed(store, made, remake):
    unfinished(store, told=2)
    (store / "progress.jsonl").unlink()
    assert len(remake(store)) == 6
    assert content(store) == content(made)
