"""Every command and every flag with a value that the README shows is one that the parser takes."""

import json
import re
import shlex
from pathlib import Path

import pytest

from raynef.cli.booleans import boolean_fields, plain_flags
from raynef.cli.commands import parse
from raynef.config.recipe import Recipe, to_dict
from tests import places

README = places.README.read_text(encoding="utf-8")
_FENCES = re.findall(r"^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = sorted(
    {
        line.partition("#")[0].rpartition("&& ")[2].strip()
        for fence in _FENCES
        for line in fence.splitlines()
        if line.partition("#")[0].rpartition("&& ")[2].startswith("raynef ") and "…" not in line
    }
)
FLAGS = sorted(set(re.findall(r"`(--[a-z]+\.[a-z-]+ [^`]+)`", README)))
"""In the text: ``--section.field VALUE``."""


@pytest.fixture
def places(tmp_path, monkeypatch) -> Path:
    """What the commands name: a run, a store, and a space of one's own."""
    monkeypatch.chdir(tmp_path)
    for name in ("RUN", "runs/photos"):
        Path(name).mkdir(parents=True)
        Path(name, "run.json").write_text(json.dumps({"recipe": to_dict(Recipe())}))
    Path("STORE").mkdir()
    record = {"recipe": to_dict(Recipe()), "features": "STORE/features"}
    Path("STORE/spectral.json").write_text(json.dumps(record))
    space = "title: mine\naxes: {graph.alpha: {grid: [0, 1]}}\nrows: [data]\ncolumns: graph.alpha\n"
    Path("my_space.yaml").write_text(space)
    return tmp_path


def test_the_readme_shows_some():
    assert len(COMMANDS) > 15
    assert any(flag.startswith("--evaluate.crf") for flag in FLAGS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_is_taken(command, places):
    parse(shlex.split(command)[1:])


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_of_the_readme_is_taken(flag, places):
    parse(["train", "--out", "OUT", *flag.split()])


# ------------------------------------------------------------------------------- boolean fields


def test_boolean_fields_are_those_of_the_recipe():
    values = {f"{s}.{f}": v for s, fs in to_dict(Recipe()).items() for f, v in fs.items()}
    booleans = {name.replace("_", "-") for name, v in values.items() if isinstance(v, bool)}
    assert boolean_fields() == booleans
    assert "evaluate.crf" in booleans


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("--{section}.{name} True", True),
        ("--{section}.{name} true", True),
        ("--{section}.{name}=True", True),
        ("--{section}.{name}", True),
        ("--{section}.{name} False", False),
        ("--{section}.{name}=false", False),
        ("--{section}.no-{name}", False),
    ],
)
def test_both_forms_of_a_boolean_field(form, expected):
    fields = [field.split(".") for field in sorted(boolean_fields())]
    flags = [form.format(section=section, name=name).split() for section, name in fields]
    config = parse(["train", "--out", "RUN", *(word for flag in flags for word in flag)]).config
    for section, name in fields:
        assert getattr(getattr(config, section), name.replace("-", "_")) is expected, name


def test_only_what_is_a_boolean_field_with_such_a_value_is_changed():
    argv = ["train", "--out", "True", "--evaluate.crf", "--train.seed", "0", "--data.root=True"]
    assert plain_flags(argv) == argv
    assert plain_flags(["--evaluate.crf", "Yes"]) == ["--evaluate.crf", "Yes"]
    assert plain_flags(["--data.photometric", "False", "x"]) == ["--data.no-photometric", "x"]
    assert plain_flags(["--train.leak_labels", "True"]) == ["--train.leak-labels"]
