"""The worked examples of CONTRIBUTING.md, carried out in a copy of the package.

A block whose first line is ``# PATH`` belongs to that file, PATH as seen from the repository:

- in a ``diff`` block, lines with "+" come and lines with "-" go where the others are found, as one;
- in a block of any other language, the lines below the first are a new file.

Blocks without such a line are for readers alone.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.places import ROOT

GUIDE = ROOT / "CONTRIBUTING.md"


def blocks(section: str) -> Iterator[tuple[str, str, str]]:
    """Language, path and lines of each block of a section (its heading) that belongs to a file."""
    text = GUIDE.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"### {section}\n")
    assert found, f"{GUIDE.name} has no section {section!r}"
    body = re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]
    yield from re.findall(r"^```(\w*)\n# (\S+\.\w+)\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)


def carry_out(section: str, folder: Path) -> Path:
    """A copy of the package in a folder, with what a section of CONTRIBUTING.md shows."""
    shutil.copytree(ROOT / "raynef", folder / "raynef", ignore=shutil.ignore_patterns("*.pyc"))
    shown = list(blocks(section))
    assert shown, f"{section!r} shows no file"
    for language, path, lines in shown:
        file = folder / path
        if language == "diff":
            file.write_text(patched(file.read_text(encoding="utf-8"), lines), encoding="utf-8")
        else:
            assert not file.exists(), f"{path} is no new file"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(lines, encoding="utf-8")
    return folder


def patched(text: str, diff: str) -> str:
    """A text with the lines of a block in place: those before must be there, once."""
    lines = diff.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    assert text.count(before) == 1, f"{text.count(before)} times, not once:\n{before}"
    return text.replace(before, after)


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``raynef`` of a copy, in its folder; ``-c CODE`` is Python with that package."""
    module = [] if arguments[0] == "-c" else ["-m", "raynef"]
    return subprocess.run(
        [sys.executable, *module, *arguments],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
