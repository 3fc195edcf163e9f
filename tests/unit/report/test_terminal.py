"""Progress on a real pseudo-terminal, and the same lines as ever where there is none."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from raynef.io.display import Line
from raynef.io.state import State
from raynef.report.live_line import LiveLine
from tests.ptys import on_terminal

JOB = """
import logging, sys, time
from raynef.cluster import progress as module
from raynef.io.log import logged
from raynef.report.screen import heard_on, progress_on, screen

module._EVERY_S = 0.0
found = screen(sys.stderr)
with heard_on(found):
    try:
        with logged(sys.argv[1]), progress_on(found):
            job = module.Progress("predict", 3, "images")
            for number in range(3):
                time.sleep(0.3)
                job.advance(1, f"epoch {number}  loss 0.5")
                logging.getLogger("raynef").warning("%s [red] of a.jpg", "long " * 40)
                print("another says this")
            job.close()
    except KeyboardInterrupt:
        logging.getLogger("raynef").error("interrupted")
        sys.exit(1)
"""
HIDDEN, SHOWN, ERASED = "\x1b[?25l", "\x1b[?25h", "\x1b[2K"
WARNING = "long " * 40 + " [red] of a.jpg"
LINES = [
    "predict: 1/3 images  epoch 0  loss 0.5",
    "predict: 2/3 images, R images/s, 0:00 left  epoch 1  loss 0.5",
    "predict: 3/3 images, R images/s, 0:00 left  epoch 2  loss 0.5",
    "predict: 3 images in T",
]


def lines_of(text: str) -> list[str]:
    """Lines of progress, without their rates; a busy machine takes another second."""
    text = re.sub(r"[\d.]+ images/s", "R images/s", text)
    said = re.sub(r"images in \d:\d\d", "images in T", text).splitlines()
    return [line for line in said if line.startswith("predict: ")]


def log_of(folder: Path) -> list[str]:
    return lines_of(re.sub(r"(?m)^\S+ \S+ [A-Z]+ ", "", (folder / "log.txt").read_text("utf-8")))


def test_a_terminal_has_one_live_line_below_the_log(tmp_path):
    seen = on_terminal("-c", JOB, str(tmp_path))
    assert seen.status == 0
    assert seen.text.count(HIDDEN) == seen.text.count(SHOWN) == 1
    drawn, _, after = seen.text.partition(SHOWN)
    assert "1/3 images" in drawn
    assert "epoch 1" in drawn
    assert "━" in drawn
    assert lines_of(drawn) == []
    for line in (WARNING, "another says this"):  # at the head of a line that was erased
        assert f"{ERASED}{line}\r\n" in drawn
    assert lines_of(after.lstrip("\r")) == LINES[2:]
    assert log_of(tmp_path) == LINES


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": "unknown"}])
def test_a_terminal_that_cannot_move_its_cursor_has_lines(tmp_path, environment):
    seen = on_terminal("-c", JOB, str(tmp_path), environment=environment)
    assert "\x1b" not in seen.text
    assert lines_of(seen.text) == log_of(tmp_path) == LINES


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}])
def test_elsewhere_it_is_the_plain_lines(tmp_path, environment, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-c", JOB, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stderr
    assert lines_of(done.stderr) == LINES
    assert done.stderr.count(WARNING + "\n") == 3
    assert done.stdout == "another says this\n" * 3


def test_no_color_leaves_the_bar(tmp_path):
    seen = on_terminal("-c", JOB, str(tmp_path), environment={"NO_COLOR": "1"})
    assert re.search("predict ━+", seen.text)
    assert re.search(r"\x1b\[[\d;]*m", seen.text) is None


def test_ctrl_c_leaves_a_clear_line_and_the_cursor(tmp_path):
    seen = on_terminal("-c", JOB, str(tmp_path), interrupt=lambda text: "1/3 images" in text)
    assert seen.status == 1
    drawn, _, after = seen.text.rpartition(SHOWN)
    assert drawn.endswith(ERASED)
    assert after.strip() == "interrupted"


@pytest.mark.parametrize("columns", range(8, 140, 11))
def test_a_line_keeps_to_the_width_and_to_what_matters(columns):
    state = State("train", 120, 304, "images", rate=7.6, eta_s=200.0)
    line = Line(state, "epoch 3  loss 1.565  clusters 27", below=("a trial: " + "x" * 200,))
    console = Console(width=columns, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(LiveLine(line))
    first, second = capture.get().splitlines()
    assert cell_len(first) <= columns
    assert cell_len(second) <= columns
    assert first.startswith("train"[:columns])
    shown = [word for word in line.words() if word in first]
    assert shown == line.words()[: len(shown)]
    assert (len(shown) == len(line.words())) == (columns > 90)
