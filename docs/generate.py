"""What the site takes from elsewhere: tables made from the code, and files of the repository.

A page asks for a table with ``<!-- made: NAME -->``, a key of ``TABLES``, and for a file with
``<!-- file: PATH -->``. The rest of that line is for readers of the page without a site. mkdocs
calls ``on_page_markdown``; nothing here imports mkdocs.
"""

import json
import re
import warnings
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import tyro
import yaml

from raynef.cli.commands import COMMANDS, class_of
from raynef.cli.train import Train
from raynef.config.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = tuple(field.name for field in fields(Recipe))
_MADE = re.compile(r"^.*<!-- made: ([\w ]+) -->$", re.MULTILINE)
_FILE = re.compile(r"^.*<!-- file: ([\w./]+) -->$", re.MULTILINE)
_DEFAULT = re.compile(r"\s*\((?:default: (.*)|required)\)$", re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """mkdocs' hook: the text of a page with what it asks for in place."""
    markdown = _MADE.sub(lambda found: TABLES[found[1]](), markdown)
    return _FILE.sub(lambda found: of_repository(found[1]), markdown)


def of_repository(path: str) -> str:
    """A file of the repository as Markdown, its links as they are seen from the site.

    It is Markdown, or a notebook, whose cells of code become blocks of code.
    """
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".ipynb"):
        return "\n\n".join(map(_cell, json.loads(text)["cells"]))
    return re.sub(r"\]\(docs/([^)]+)\)", r"](\1)", text)


def _cell(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    return f"```python\n{text}\n```" if cell["cell_type"] == "code" else text


# ------------------------------------------------------------------------- commands and recipe


def commands() -> str:
    """Every command: what it does, its arguments, and the sections of the recipe that it takes."""
    return "\n\n".join(_command(name) for name in COMMANDS)


def recipe() -> str:
    """Every field of the recipe by section, as a flag."""
    groups = _groups(Train)
    hints = get_type_hints(Recipe)
    return "\n\n".join(
        f"### {section}\n\n{_text(hints[section].__doc__)}\n\n{_table(groups[section])}"
        for section in SECTIONS
    )


def _command(name: str) -> str:
    kind = class_of(name)
    groups = _groups(kind)
    sections = [section for section in SECTIONS if section in groups]
    taken = ", ".join(f"[{section}](recipe.md#{section})" for section in sections)
    if len(sections) == len(SECTIONS):
        taken = "[all of them](recipe.md#all-fields)"
    own = [action for title, group in groups.items() if title not in SECTIONS for action in group]
    own = [action for action in own if action.dest != "json"]  # of every command: the page says it
    parts = [f"### raynef {name}", _text(kind.__doc__), _table(own) if own else ""]
    parts.append(f"Fields of the recipe, as flags: {taken}." if taken else "")
    return "\n\n".join(part for part in parts if part)


def _groups(kind: type) -> dict[str, list[Any]]:
    """The arguments of a command as its ``--help`` has them, by their heading there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parser = tyro.extras.get_parser(kind)
    return {
        (group.title or "").removesuffix(" options"): actions
        for group in parser._action_groups
        if (actions := [action for action in group._group_actions if action.dest != "help"])
    }


def _table(actions: Iterable[Any]) -> str:
    rows = ["| argument | default | meaning |", "|---|---|---|"]
    return "\n".join([*rows, *map(_row, actions)])


def _row(action: Any) -> str:
    about = action.help or ""
    found = _DEFAULT.search(about)
    default = found[1] if found else None
    shown = (
        "required"
        if found and default is None
        else f"`{default}`"
        if default not in (None, "None", "")
        else ""
    )
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    values = metavar.removeprefix("{None}|").strip("{}").replace(",", " or ")
    names = action.option_strings or [action.dest.upper()]
    name = " ".join([names[0], values] if action.option_strings and values else [names[0]])
    also = f", `{names[1]}`" if len(names) > 1 else ""
    return f"| `{name}`{also} | {shown} | {_text(_DEFAULT.sub('', about))} |"


def _text(text: str | None) -> str:
    """Text of the code as Markdown on one line, of which nothing is taken for markup."""
    return re.sub(r"([|*_<\[\]])", r"\\\1", " ".join((text or "").split()))


# ----------------------------------------------------------------------------- files of YAML


def data_presets() -> str:
    """Presets of data sets: what the head of each file says."""
    return _presets("config/recipes/*.yaml")


def backbone_presets() -> str:
    """Likewise presets of backbones, with the timm model."""
    return _presets("config/recipes/backbones/*.yaml")


def _presets(pattern: str) -> str:
    rows = ["| `--recipe` | timm model | what it is |", "|---|---|---|"]
    for path in sorted((ROOT / "raynef").glob(pattern)):
        text = path.read_text(encoding="utf-8")
        backbone = yaml.safe_load(text).get("backbone", {}).get("name")
        head = re.match(r"(?:#.*\n)*", text)
        about = " ".join(line.lstrip("# ") for line in head[0].splitlines()) if head else ""
        rows.append(f"| `{path.stem}` | {f'`{backbone}`' if backbone else ''} | {_text(about)} |")
    return "\n".join(rows)


def spaces() -> str:
    """The spaces that come with raynef: what each varies, and which table it reproduces."""
    rows = ["| space | what it varies | axes | table |", "|---|---|---|---|"]
    for path in sorted((ROOT / "tune_spaces").glob("*.yaml")):
        space = yaml.safe_load(path.read_text(encoding="utf-8"))
        axes = ", ".join(f"`{axis}`" for axis in space.get("axes", ()))
        about = f"{_text(space['title'])} | {axes} | {_text(space.get('paper', ''))}"
        rows.append(f"| `{path.stem}` | {about} |")
    return "\n".join(rows)


TABLES = {
    "commands": commands,
    "recipe": recipe,
    "data presets": data_presets,
    "backbone presets": backbone_presets,
    "spaces": spaces,
}
