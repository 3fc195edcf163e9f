"""A new recipe field and a new command, as CONTRIBUTING.md shows them, in a copy of the package."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.worked import carry_out, patched, run

FIELD, COMMAND = "A new recipe field", "A new command"
KEYS = """
import dataclasses
from raynef.config.fields import in_key
from raynef.config.presets import load_presets
from raynef.config.recipe import NEVER_SHAPES, Recipe, from_dict, may_change
from raynef.sweeps.sweep import identity

before, blurred = Recipe(), load_presets(["folder", "paper", "mine.yaml"])
assert blurred.data.blur == 1.5
assert "blur" not in in_key(before, "views")
assert in_key(blurred, "views") == in_key(before, "views") | {"blur": 1.5}
assert in_key(blurred, "images") == in_key(before, "images")
assert "data.blur" not in may_change("ours", before)
print(identity(before, "ours"), identity(blurred, "ours"))
"""


@pytest.fixture(scope="module")
def with_field(tmp_path_factory) -> Path:
    copy = carry_out(FIELD, tmp_path_factory.mktemp("field"))
    (copy / "mine.yaml").write_text("data: {blur: 1.5}\n", encoding="utf-8")
    return copy


def test_a_new_recipe_field_is_a_flag_with_help(with_field):
    done = run(with_field, "train", "--help")
    assert done.returncode == 0, done.stderr
    _, found, after = done.stdout.partition("--data.blur FLOAT")
    assert found
    assert " ".join(after.replace("│", " ").split()).startswith("Largest σ of a Gaussian blur")


@pytest.mark.parametrize(
    ("recipe", "flags", "message"),
    [
        ("{blur: 1.5}", ["--data.blur", "-1"], "parameter data.blur must be >= 0, got -1.0"),
        ("{blur: soft}", [], "recipe bad.yaml: data.blur must be of type float, got 'soft'"),
        ("{blur: .inf}", [], "parameter data.blur must be finite, got inf"),
        ("{blurr: 1}", [], "recipe bad.yaml: unknown key data.blurr; did you mean data.blur?"),
    ],
)
def test_a_mistake_in_a_new_recipe_field_is_one_line(with_field, recipe, flags, message):
    (with_field / "bad.yaml").write_text(f"data: {recipe}\n", encoding="utf-8")
    done = run(with_field, "train", "--recipe", "bad.yaml", "--out", "RUN", *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"raynef: {message}")
    assert done.stderr.count("\n") == 1


def test_a_new_recipe_field_is_read_from_yaml_and_part_of_the_keys(with_field):
    """It changes no key at its default: the first name is that of test_keys.py."""
    done = run(with_field, "-c", KEYS)
    assert done.returncode == 0, done.stderr
    before, blurred = done.stdout.split()
    assert before == "84f3f28b" != blurred


def test_a_new_command_is_two_files_and_a_line(tmp_path):
    copy = carry_out(COMMAND, tmp_path)
    (tmp_path / "images").mkdir()
    for name, shape in {"a": (4, 6, 3), "b": (4, 6, 3), "c": (5, 5, 3)}.items():
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "images" / f"{name}.png")
    assert "  sizes  " in run(copy, "--help").stdout
    shown = " ".join(run(copy, "sizes", "--help").stdout.replace("│", " ").split())
    assert "--most INT Sizes that are listed, the most frequent first. (default: 10)" in shown
    done = run(copy, "sizes", "--data.root", "images", "--most", "1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "num_images": 3,
        "sizes": [{"size": [4, 6], "num_images": 2}],
    }
    done = run(copy, "sizes")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("raynef: data.root is not set")


def test_a_block_is_put_where_its_lines_are():
    assert patched("a\nb\nc\n", " a\n+x\n-b\n+y\n") == "a\nx\ny\nc\n"
    with pytest.raises(AssertionError, match="0 times"):
        patched("a\nb\n", " b\n+x\n a\n")
