"""``raynef name RUN`` as a person starts it: the page until Ctrl-C, then the result."""

import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from raynef.core.errors import UserError
from raynef.web.naming import page_of


@pytest.fixture
def run(run_here, tmp_path):
    left_out = shutil.ignore_patterns("store", "checkpoints")
    return Path(shutil.copytree(run_here[0], tmp_path / "photos", ignore=left_out))


@pytest.mark.usefixtures("without_ray")
def test_ctrl_c_ends_it_with_the_names_that_were_given(run):
    page = page_of(run)
    assert (page.title, page.num_clusters) == ("photos", 12)
    assert page_of(run / "segmenter").title == "photos"
    with pytest.raises(UserError, match="12 clusters make 1 to 12 groups, not 13"):
        page_of(run, cut=13)
    command = [sys.executable, "-m", "raynef", "name", str(run), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    address = process.stderr.readline().split()[-1]
    body = json.dumps({"changes": {"3": "sky"}, "seen": {"3": None}}).encode()
    sent = urllib.request.Request(
        f"{address}names.json", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(sent, timeout=10) as answer:
        assert json.load(answer) == {"names": {"3": "sky"}, "by_text": []}
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert json.loads(out)["names"] == {"3": "sky"}


def test_a_table_that_is_none_is_said_before_all_work(run):
    (run / "segmenter" / "names.tsv").write_text("x\ty\n")
    with pytest.raises(UserError, match="line 1: expected cluster_id"):
        page_of(run)
    assert not (run / "naming").exists()
