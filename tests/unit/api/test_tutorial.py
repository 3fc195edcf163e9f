"""The notebook of the documentation: every cell runs, and its outputs are what a reader wants."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.places import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
RUN = """
import ast, json, sys
import torch

torch.set_num_threads(1)
names, drawn = {}, []
for source in json.loads(sys.stdin.read()):
    *body, last = ast.parse(source).body
    silent = source.partition("#")[0].rstrip().endswith(";") or not isinstance(last, ast.Expr)
    exec(compile(ast.Module(body + [last] * silent, []), source, "exec"), names)
    if silent:
        drawn.append(None)
        continue
    found = eval(compile(ast.Expression(last.value), source, "eval"), names)
    kinds = [kind for kind in ("png", "html") if hasattr(found, f"_repr_{kind}_")]
    drawn.append([type(found).__name__, *(kinds if all(
        getattr(found, f"_repr_{kind}_")() for kind in kinds) else ())])
print(json.dumps({"drawn": drawn, "loaded": sorted({"ray", "IPython"} & set(sys.modules))}))
"""


def cells() -> list[dict]:
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def sources(*, slow: bool) -> list[str]:
    return [
        "".join(cell["source"])
        for cell in cells()
        if slow or "slow" not in cell["metadata"].get("tags", ())
    ]


def test_it_holds_no_outputs():
    """They would grow old, and show in every change."""
    assert NOTEBOOK.stat().st_size < 300_000
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells())


def test_it_shows_what_the_package_can():
    code = "\n".join(sources(slow=True))
    called = {node.attr for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    assert called >= {"train", "segmenter", "masks", "shares", "soft", "eigenfunctions"}
    assert called >= {"name", "predict", "evaluate", "export"}


def test_its_cells_run_in_order(tmp_path):
    """But for the export, in a process of its own: the kernel is ``test_a_kernel_runs_it``'s."""
    run = subprocess.run(
        [sys.executable, "-c", RUN.replace(".show(", ".strip(")],
        input=json.dumps([source.replace(".show(", ".strip(") for source in sources(slow=False)]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    kinds = [drawn for drawn in found["drawn"] if drawn is not None]
    assert ["Run", "html"] in kinds
    assert ["Segmentation", "png"] in kinds
    assert ["SoftMaps", "png"] in kinds
    assert found["loaded"] == []
    assert "Warning" not in run.stderr
    assert Path(tmp_path / "raynef-notebook" / "run" / "evaluate.json").is_file()


@pytest.mark.slow
def test_a_kernel_runs_it(tmp_path):
    """All of it, in a real kernel: bars and pictures, and no word of a package that is missing."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=1200, resources=place).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    said = "".join(output.text for output in outputs if output.output_type == "stream")
    shown = [output.data for output in outputs if output.output_type != "stream"]
    bars = [data["text/html"] for data in shown if "<progress" in data.get("text/html", "")]
    assert {bar.split()[0] for bar in bars} >= {"features", "train", "tree", "predict", "evaluate"}
    assert all(bar.partition('value="')[2].partition('"')[0] != "0" for bar in bars)
    assert sum("image/png" in data for data in shown) >= 5
    for noise in ("Warning", "IProgress", "tqdm", "%|", "not installed"):
        assert noise not in said, said
    assert (tmp_path / "raynef-notebook" / "segmenter.onnx").stat().st_size > 1e6
