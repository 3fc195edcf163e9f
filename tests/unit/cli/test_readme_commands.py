"""Every command and every flag with a value that README or documentation shows is one that the
parser takes; so are the public names in their Python."""

import ast
import json
import shlex
from pathlib import Path

import pytest

import raynef
from raynef.cli.booleans import boolean_fields, plain_flags
from raynef.cli.commands import COMMANDS, parse, read
from raynef.cli.train import Train
from raynef.config.recipe import Recipe, to_dict
from tests import shown
from tests.places import README

SHOWN = shown.commands()
WHOLE = sorted(command for command in SHOWN if shown.LEFT_OUT not in command)
"""What may be typed as it stands, or is the name of a command."""
FLAGS = sorted(shown.flags())
PYTHON = [
    (page, code) for page in shown.PAGES for code in shown.blocks(shown.PAGES[page], "python")
]


def named(command: str) -> str:
    """The name that a command line begins with: a command's, or that of a group."""
    words = [word for word in command.split()[1:3] if word != "--help"]
    names = {"", *COMMANDS, *(name.partition(" ")[0] for name in COMMANDS)}
    known = [name for name in (" ".join(words), " ".join(words[:1])) if name in names]
    assert known, f"{SHOWN[command]} shows {command!r}, which is no command"
    return known[0]


@pytest.fixture
def places(tmp_path, monkeypatch) -> Path:
    """What the commands name: runs, stores, a space and a recipe of one's own."""
    monkeypatch.chdir(tmp_path)
    for name in ("RUN", "runs/photos"):
        Path(name).mkdir(parents=True)
        Path(name, "run.json").write_text(json.dumps({"recipe": to_dict(Recipe())}))
    record = {"recipe": to_dict(Recipe()), "features": "STORE/features"}
    for name in ("STORE", "TRAIN"):
        Path(name).mkdir()
        Path(name, "spectral.json").write_text(json.dumps(record))
    for page in shown.PAGES.values():
        for code in shown.blocks(page, "yaml"):
            name = code.partition("\n")[0].removeprefix("# ").partition(":")[0]
            if name.endswith(".yaml"):
                Path(name).write_text(code)
    return tmp_path


def test_readme_and_pages_show_some():
    assert len(WHOLE) > 60
    assert any(page == "README.md" for page in SHOWN.values())
    assert any(flag.startswith("--evaluate.crf") for flag in FLAGS)


@pytest.mark.parametrize("command", WHOLE)
def test_a_command_that_is_shown_is_taken(command, places):
    name = named(command)
    words = shlex.split(command)[1:]
    if words in (name.split(), [*name.split(), "--help"]):
        return  # in the text, for the command itself
    if name == "compare" and "--out" not in words:
        words += ["--out", "DIR"]  # the footnote of a table leaves it out
    parse(words)
    if name == "submit":
        read(words[words.index("--") + 1 :])


@pytest.mark.parametrize("command", sorted(set(SHOWN) - set(WHOLE)))
def test_a_command_that_is_shown_in_part_is_one(command):
    named(command)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_that_is_shown_is_taken(flag, places):
    parse(["train", "--out", "OUT", *flag.split()])


@pytest.mark.parametrize(("page", "code"), PYTHON)
def test_python_that_is_shown_uses_public_names(page, code):
    names = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)]
    used = {node.attr for node in names if ast.unparse(node.value) == "raynef"}
    assert used <= set(raynef.__all__), page


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 140


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
    start = ["train", "--recipe", "folder", "paper", "--out", "RUN"]  # where labels may leak
    command = parse([*start, *(word for flag in flags for word in flag)])
    assert isinstance(command, Train)
    for section, name in fields:
        assert getattr(getattr(command.config, section), name.replace("-", "_")) is expected, name


def test_only_what_is_a_boolean_field_with_such_a_value_is_changed():
    argv = ["train", "--out", "True", "--evaluate.crf", "--train.seed", "0", "--data.root=True"]
    assert plain_flags(argv) == argv
    assert plain_flags(["--evaluate.crf", "Yes"]) == ["--evaluate.crf", "Yes"]
    assert plain_flags(["--data.photometric", "False", "x"]) == ["--data.no-photometric", "x"]
    assert plain_flags(["--train.leak_labels", "True"]) == ["--train.leak-labels"]
