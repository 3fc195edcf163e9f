"""Progress in a notebook: a bar that is drawn anew, with IPython alone."""

import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from raynef.cluster import progress as module
from raynef.report.notebook import in_notebook
from raynef.report.screen import heard_on, progress_on, screen

JOB = """
import sys
from raynef.cluster.progress import Progress
from raynef.report.screen import heard_on, progress_on, screen

found = screen(sys.stderr)
with heard_on(found), progress_on(found):
    job = Progress("predict", 3, "images")
    for _ in range(3):
        job.advance(1, "loss <0.5>")
    job.close()
"""


class Cell:
    """What a cell shows, by the handles of IPython."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def display(self, bundle: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        number = len(self.shown)
        self.shown.append(bundle)
        return SimpleNamespace(update=lambda new, *, raw: self.shown.__setitem__(number, new))


@pytest.fixture
def cell(monkeypatch) -> Cell:
    """This process as a notebook's kernel."""
    made = Cell()
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=made.display))
    monkeypatch.setattr(module, "_EVERY_S", 0.0)
    return made


def test_each_job_has_one_bar_and_the_log_its_last_words(cell, capsys):
    found = screen(sys.stderr)
    with heard_on(found), progress_on(found):
        for name in ("scan", "predict"):
            job = module.Progress(name, 3, "images")
            for _ in range(3):
                job.advance(1, "loss <0.5>")
        logging.getLogger("raynef").warning("a.jpg is bad")
    assert [shown["text/plain"].split()[:2] for shown in cell.shown] == [
        ["scan:", "3/3"],
        ["predict:", "3/3"],
    ]
    page = cell.shown[1]["text/html"]
    assert '<progress value="3" max="3">' in page
    assert "loss &lt;0.5&gt;" in page
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in said] == ["scan", "predict", "a.jpg is bad"]


def test_a_terminal_with_ipython_is_no_notebook(monkeypatch):
    assert not in_notebook()
    shell = SimpleNamespace()  # has no kernel
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert not in_notebook()


def test_a_real_kernel_draws_it():
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(JOB)])
    nbclient.NotebookClient(notebook, timeout=60).execute()
    outputs = notebook.cells[0].outputs
    (bar,) = [output for output in outputs if output.output_type == "display_data"]
    assert '<progress value="3" max="3">' in bar.data["text/html"]
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "predict: 3 images in 0:00" in said
    assert "1/3" not in said
