"""A comparison finds what it lacks before it starts anything."""

from pathlib import Path

import pytest
import yaml

from raynef.core.errors import UserError
from raynef.sweeps import compare as module
from raynef.sweeps.compare import compare

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture
def table(copy_of_sample, tmp_path, monkeypatch):
    """table(columns=…, evaluate=…): a comparison of two rows, of which the second is as said."""
    monkeypatch.setattr(module, "_score", lambda *_: pytest.fail("work was begun"))

    def write(**row) -> Path:
        first = {"name": "one", "set": {"data.root": str(copy_of_sample)}}
        second = {**first, "name": "two", **row}
        file = tmp_path / "table.yaml"
        file.write_text(yaml.safe_dump({"columns": ["ours"], "rows": [first, second]}))
        return file

    return write


def refused(file: Path, message: str) -> None:
    out = file.parent / "out"
    with pytest.raises(UserError, match=message):
        compare(file, out)
    assert not (out / "runs").exists()


def test_a_missing_validation_label_names_row_and_data(table, copy_of_sample):
    (copy_of_sample / "labels" / "val_00001.png").unlink()
    refused(table(), rf"row 'one': 1 of 4 images under {copy_of_sample} .* val_00001.jpg")


def test_training_labels_are_needed_by_what_is_trained_on_them(table, copy_of_sample):
    (copy_of_sample / "labels" / "train_00003.png").unlink()
    message = rf"row 'two': 1 of 10 images under {copy_of_sample} .* train_00003.jpg"
    paper = {"eigen.objective": "eigenfunctions", "data.root": str(copy_of_sample)}
    leaks = {"train.leak_labels": True, **paper}
    for needs in ({"columns": ["ours", "probe"]}, {"set": leaks}):
        refused(table(**needs), message)


def test_one_training_label_is_enough_to_match_on(table, copy_of_sample):
    for path in (copy_of_sample / "labels").glob("train_*"):
        path.unlink()
    refused(table(evaluate={"match_on": "train"}), r"row 'two': .* none of the 10 training images")


def test_labels_that_are_all_there_let_it_start(table):
    with pytest.raises(pytest.fail.Exception, match="work was begun"):
        compare(table(columns=["ours", "probe"]), table().parent / "out")
