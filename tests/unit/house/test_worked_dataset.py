"""A new data set, as CONTRIBUTING.md shows it, in a copy of the package."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.worked import carry_out, run

CHECK = """
from raynef.cluster.place import this_process
from raynef.cli.main import main

with this_process():
    main(["data", "check", "camvid", "--data.root", "CamVid"])
"""


@pytest.fixture
def copy(tmp_path) -> Path:
    """With a data set beside it: two images to train, one to validate; labels hold every value."""
    label = np.tile(np.arange(12, dtype=np.uint8), (4, 1))
    for split, stems in {"train": "ab", "val": "c"}.items():
        for folder, pixels in ((split, np.zeros((4, 12, 3), np.uint8)), (f"{split}annot", label)):
            (tmp_path / "CamVid" / folder).mkdir(parents=True)
            for stem in stems:
                Image.fromarray(pixels).save(tmp_path / "CamVid" / folder / f"{stem}.png")
    return carry_out("A new data set", tmp_path)


def test_a_new_data_set_is_checked(copy):
    done = run(copy, "-c", CHECK)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["data"], found["problems"]) == ("camvid", [])
    assert [found["splits"][split]["num_images"] for split in ("train", "val")] == [2, 1]
    assert found["splits"]["train"]["ignored"] == pytest.approx(1 / 12, abs=1e-6)
