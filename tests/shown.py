"""What README and documentation show: their code blocks, and the commands and flags among them."""

import re
from collections.abc import Iterator

from tests.places import ROOT

WORKED = "## Worked examples"
"""In CONTRIBUTING: what follows is of commands and files that only its own tests make."""
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").partition(f"\n{WORKED}\n")[0]
    for path in (
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        ROOT / "raynef/features/bundled/MODEL_CARD.md",
    )
}
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_FLAG = re.compile(r"--[a-z]+\.[a-z-]+ .+")
LEFT_OUT = "…"
"""A command with it shows its name alone; what follows the mark is not for typing."""


def blocks(text: str, language: str) -> list[str]:
    """Code blocks of a page in a language; those of a shell have none."""
    return [code for name, code in _FENCE.findall(text) if name == language]


def inline(text: str) -> list[str]:
    """Code within the text of a page, each on one line."""
    return [" ".join(code.split()) for code in _INLINE.findall(_FENCE.sub("", text))]


def typed(text: str) -> Iterator[str]:
    """Commands of raynef in the shell blocks of a page, as they are typed."""
    for block in blocks(text, ""):
        for line in block.replace("\\\n", " ").splitlines():
            for command in line.partition("#")[0].split("&&"):
                if command.strip().startswith("raynef "):
                    yield " ".join(command.split())


def commands() -> dict[str, str]:
    """Every command that is shown, in blocks and in text, and the page that shows it first."""
    found: dict[str, str] = {}
    for page, text in PAGES.items():
        for command in (*typed(text), *(c for c in inline(text) if c.startswith("raynef "))):
            found.setdefault(command, page)
    return found


def flags() -> dict[str, str]:
    """Every ``--section.field VALUE`` in the text, and the page that shows it first."""
    found: dict[str, str] = {}
    for page, text in PAGES.items():
        for flag in filter(_FLAG.fullmatch, inline(text)):
            found.setdefault(flag, page)
    return found
