"""What docs/architecture.md points to is there, and the path that it draws is the code's own."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.places import ROOT
from tests.shown import PAGES

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\|.*?`(raynef/[\w/]+\.py)` \| `(\w+)`", TEXT, re.MULTILINE)
PATH = re.findall(r"^\| `(raynef/[\w/]+\.py)` \| `(\w+)` \|", TEXT, re.MULTILINE)
EQUATIONS = re.findall(r"^\| (arXiv:[\d.]+) \| (\d+),", TEXT, re.MULTILINE)


def imported(path: Path) -> set[str]:
    """Modules that a file imports, at its head or within a function, as paths."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.replace(".", "/") + ".py")
    return found


@pytest.mark.parametrize(("file", "name"), sorted(set(ROWS)))
def test_each_file_defines_the_function(file, name):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert name in defined


def test_each_path_that_is_named_is_there():
    """Here, and in the guide for contributors."""
    pages = (TEXT, PAGES["CONTRIBUTING.md"])
    named = {
        path for page in pages for path in re.findall(r"`((?:raynef|tests|docs)/[\w/.]+)`", page)
    }
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_equation_of_both_papers_is_listed():
    numbers = {"arXiv:2304.02841": range(1, 8), "arXiv:2205.07839": range(1, 4)}
    expected = {(paper, str(n)) for paper, all_of in numbers.items() for n in all_of}
    assert set(EQUATIONS) == expected


def test_a_command_reaches_the_loss_in_six_files():
    """Each imports the next."""
    files = [file for file, _ in PATH]
    assert len(files) <= 6
    assert files[0] == "raynef/cli/train.py"
    assert files[-1] == "raynef/eigen/objective.py"
    callers = dict(zip(files[1:], files, strict=False))
    for file, caller in callers.items():
        assert file in imported(ROOT / caller), f"{caller} does not import {file}"


def drawn() -> list[set[str]]:
    """The rooms of each line of the drawing, from the top; a line's words are two spaces off."""
    lines = TEXT.split("```")[1].strip().splitlines()
    return [set(line.partition("  ")[0].split(" │ ")) for line in lines]


def test_every_room_is_drawn():
    rooms = {path.name for path in (ROOT / "raynef").iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= set().union(*drawn())


def test_the_rooms_are_drawn_as_imports_are_held_to():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    assert contract["type"] == "layers"
    assert drawn() == [set(layer.split(" | ")) for layer in contract["layers"]]
