"""A comparison's file: rows, columns, paths as seen from it, and mistakes by name."""

from pathlib import Path

import pytest

from raynef.core.errors import UserError
from raynef.sweeps.comparison import read_comparison

GOOD = """
recipe: folder
set: {train.epochs: 12}
columns: [kmeans, ours]
rows:
  - name: first
    seeds: [0, 1, 2]
    set: {data.root: data/msrc, backbone.weights: w.safetensors}
  - name: second
    columns: [probe]
    evaluate: {crf: true}
    set: {data.root: s3://bucket/msrc, train.epochs: 2}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "table.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows(tmp_path):
    first, second = read_comparison(write(tmp_path, GOOD))
    assert (first.name, first.seeds, first.columns) == ("first", (0, 1, 2), ("kmeans", "ours"))
    assert first.recipe.train.epochs == 12
    assert first.recipe.data.root == str(tmp_path / "data" / "msrc")
    assert first.recipe.backbone.weights == str(tmp_path / "w.safetensors")
    assert second.recipe.data.root == "s3://bucket/msrc"
    assert (second.seeds, second.columns) == ((0,), ("probe",))
    assert second.recipe.train.epochs == 2


def test_seeds_of_every_row_but_those_that_have_their_own(tmp_path):
    text = GOOD.replace("columns: [kmeans, ours]", "columns: [kmeans, ours]\nseeds: [4, 5]")
    rows = read_comparison(write(tmp_path, text))
    assert [row.seeds for row in rows] == [(0, 1, 2), (4, 5)]


def test_scoring_is_apart_from_training(tmp_path):
    """Rows that differ in their scoring alone share their runs."""
    _, second = read_comparison(write(tmp_path, GOOD))
    assert second.evaluate.crf
    assert not second.recipe.evaluate.crf


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("[kmeans, ours]", "[kmeens]", "'kmeens' is no column; there are kmeans, kmeans_context"),
        ("train.epochs: 12", "train.epoch: 12", "did you mean train.epochs?"),
        (
            "[kmeans, ours]",
            "[localize]",
            "'localize' is no column; there are kmeans, kmeans_context",
        ),
        ("seeds: [0, 1, 2]", "seeds: 3", "row 1: seeds must be a list of whole numbers, got 3"),
        ("seeds: [0, 1, 2]", "seeds: []", "row 1: seeds must be a list of whole numbers, got []"),
        ("name: second", "name: first", "two rows have the name 'first'"),
        ("name: second", "nmae: second", "row 2: unknown key nmae"),
        ("{crf: true}", "{crv: true}", "row 2: unknown key evaluate.crv"),
        ("recipe: folder", "recipe: foldre", "foldre"),
        ("recipe: folder", "resipe: folder", "unknown key resipe"),
        ("rows:", "rows: []\nmore:", "unknown key more"),
        ("seeds: [0, 1, 2]", "seeds: [0", "is not YAML"),
    ],
)
def test_a_mistake_is_named(tmp_path, before, after, message):
    with pytest.raises(UserError) as caught:
        read_comparison(write(tmp_path, GOOD.replace(before, after)))
    assert message in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_comparison(tmp_path / "none.yaml")
