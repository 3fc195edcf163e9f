"""A new data set is one file and one line, as CONTRIBUTING.md shows it: its blocks, carried out."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.places import ROOT

CHECK = """
import sys
from raynef.cli.main import main
from raynef.cluster.session import this_process

with this_process():
    main(sys.argv[1:])
"""


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package with CamVid in it; the folder that holds the copy."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = re.split(r"^##", text.split("### A new data set\n")[1], flags=re.MULTILINE)[0]
    (file,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    (line,) = re.findall(r"^```diff\n\+(.*\n)```$", section, re.MULTILINE)
    copy = tmp_path / "copy" / "raynef"
    shutil.copytree(ROOT / "raynef", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "images" / "datasets" / "camvid.py").write_text(file, encoding="utf-8")
    registry = copy / "images" / "datasets" / "registry.py"
    head, tail = registry.read_text(encoding="utf-8").split("_FILES = (\n")
    registry.write_text(f"{head}_FILES = (\n{line}{tail}", encoding="utf-8")
    return copy.parent


@pytest.fixture
def camvid(tmp_path) -> Path:
    """Two images to train, one to validate; a label holds every value."""
    for split, stems in {"train": "ab", "val": "c"}.items():
        for stem in stems:
            for folder, values in (
                (split, np.full((4, 12, 3), 90)),
                (f"{split}annot", np.tile(np.arange(12), (4, 1))),
            ):
                path = tmp_path / "CamVid" / folder / f"{stem}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values.astype(np.uint8)).save(path)
    return tmp_path / "CamVid"


def test_the_new_data_set_is_checked(package, camvid):
    command = [sys.executable, "-c", CHECK, "data", "check", "camvid", "--data.root", str(camvid)]
    where = {"cwd": package, "env": {"PYTHONPATH": str(package), "PATH": ""}}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **where)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["data"] == "camvid"
    assert [found["splits"][split]["num_images"] for split in ("train", "val")] == [2, 1]
