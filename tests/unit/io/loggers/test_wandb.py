"""Weights & Biases: through a stand-in that holds raynef to the names it uses, and offline."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from raynef.io.loggers.backend import Log, open_backend
from tests.places import ROOT

IMAGE = np.zeros((4, 6, 3), np.uint8)


class FakeRun:
    def __init__(self, folder) -> None:
        self.dir, self.url = str(folder / "files"), "https://wandb.test/me/cells/runs/1"
        self.rows, self.summary, self.exit_code = [], {}, None

    def log(self, values, *, step, commit):
        assert commit
        self.rows.append((step, values))

    def finish(self, *, exit_code):
        self.exit_code = exit_code


@pytest.mark.parametrize("folder", ["run-1", "offline-run-1"])
def test_rows_by_epoch_and_a_summary(folder, tmp_path, monkeypatch):
    run, asked = FakeRun(tmp_path / folder), {}

    def init(**options):
        asked.update(options)
        return run

    fake = SimpleNamespace(init=init, Settings=dict, Image=lambda image: ("image", image.shape))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    log = Log(tmp_path, "run", {"train.lr": 0.1})
    logger = open_backend("wandb", log, place="cells", known="id-7")
    logger.scalars({"train/loss": 2.0}, step=1)
    logger.scores({"evaluate/miou": 0.25}, step=1)
    logger.images({"overlays/0": IMAGE}, step=1)
    logger.close("finished")
    assert (asked["project"], asked["id"], asked["resume"]) == ("cells", "id-7", "allow")
    assert asked["settings"]["console"] == "off"  # stdout has the result, and nothing else
    assert run.rows == [(1, {"train/loss": 2.0})]
    assert run.summary == {"evaluate/miou": 0.25, "overlays/0": ("image", (4, 6, 3))}
    assert run.exit_code == 0
    offline = folder.startswith("offline")
    assert logger.where == (f"wandb sync {tmp_path / folder}" if offline else run.url)


OFFLINE = """
import sys
import numpy as np
from pathlib import Path
from raynef.io.loggers.backend import Log
from raynef.io.loggers.choice import loggers
from raynef.io.loggers.run_log import run_log

for epochs in (1, 2):
    log = Log(Path(sys.argv[1]), "run", {"train.lr": 0.1})
    with run_log(log, loggers("wandb", wandb="cells")) as opened:
        for step in range(1, epochs + 1):
            opened.scalars({"train/loss": 1 / step}, step=step)
        opened.finish({"overlays/0": np.zeros((4, 6, 3), np.uint8)}, step=epochs)
print("stdout is whole")
"""


def test_offline_runs_lie_in_the_folder(tmp_path):
    pytest.importorskip("wandb", reason="needs the extra wandb")
    environment = {**os.environ, "WANDB_MODE": "offline", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == "stdout is whole\n"
    assert "stops" not in done.stderr
    names = [path.name for path in Path(tmp_path / "wandb").glob("offline-run-*/*.wandb")]
    assert len(names) == 2
    assert len(set(names)) == 1  # two parts of one run
    content = b"".join(p.read_bytes() for p in (tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert b"train/loss" in content
    assert b"train.lr" in content
    assert list((tmp_path / "wandb").glob("offline-run-*/files/media/images/**/*.png"))
