"""Atomic writes: the old file or the new one, and nothing left behind."""

import json

import pytest

from raynef.io.files import read_json, without_infinity, write_atomic, write_json, write_text


def test_writes_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b" / "x.json"
    write_json(path, {"miou": 0.5, "name": "Straße"})
    assert read_json(path) == {"miou": 0.5, "name": "Straße"}
    assert "Straße" in path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_replaces_what_was_there(tmp_path):
    write_text(tmp_path / "x", "old, and longer")
    write_text(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text(encoding="utf-8") == "new"


def test_infinity_is_a_text():
    found = without_infinity({"a": [1, (float("inf"), -float("inf"))], "b": 0.5})
    assert found == {"a": [1, ["inf", "-inf"]], "b": 0.5}
    assert [float(text) for text in found["a"][1]] == [float("inf"), -float("inf")]


@pytest.mark.parametrize("old", ["old", None])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), ValueError("x")])
def test_a_failure_keeps_the_old_and_leaves_nothing(tmp_path, old, error):
    path = tmp_path / "x.txt"
    if old is not None:
        path.write_text(old, encoding="utf-8")

    def write(temporary):
        temporary.write_text("half of", encoding="utf-8")
        raise error

    with pytest.raises(type(error)):
        write_atomic(path, write)
    assert [p.name for p in tmp_path.iterdir()] == ([] if old is None else ["x.txt"])
    if old is not None:
        assert path.read_text(encoding="utf-8") == old


def test_a_failure_before_anything_is_written(tmp_path):
    def write(temporary):
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_atomic(tmp_path / "x", write)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_json_leaves_the_old(tmp_path):
    write_json(tmp_path / "x", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "x", {"a": object()})
    assert json.loads((tmp_path / "x").read_text(encoding="utf-8")) == [1]


def test_a_reader_never_sees_half(tmp_path):
    path = tmp_path / "x"
    write_text(path, "old")

    def write(temporary):
        temporary.write_text("new", encoding="utf-8")
        assert temporary.parent == path.parent  # a rename across disks is no rename
        assert path.read_text(encoding="utf-8") == "old"

    write_atomic(path, write)
    assert path.read_text(encoding="utf-8") == "new"
