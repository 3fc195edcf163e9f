"""Ray and torch.distributed are for ``cluster``, and for the few modules named here."""

import ast
from pathlib import Path

import pytest

import raynef

PACKAGE = Path(raynef.__file__).parent
RAY_TOO = {
    "sweeps/tune.py",
    "sweeps/trials.py",
    "sweeps/search.py",
    "sweeps/board.py",
    "ops/submit.py",
    "ops/doctor/cluster.py",
    "web/deployment.py",
}
"""Run Ray Tune and Ray Serve, submit jobs, and look at a cluster; torch.distributed is not theirs
either."""
OUTSIDE = sorted(
    path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "cluster"
)


def cluster_names(source: str) -> list[str]:
    """What of Ray or torch.distributed a module imports or names, by an obvious walk."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        found += [
            name
            for name in names
            if name == "ray" or name.startswith(("ray.", "torch.distributed"))
        ]
    return found


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_the_cluster_knows_a_cluster(path):
    names = cluster_names(path.read_text(encoding="utf-8"))
    if path.relative_to(PACKAGE).as_posix() in RAY_TOO:
        names = [name for name in names if not name.startswith("ray")]
    assert names == []


def test_the_cluster_does_know_one():
    sources = [path.read_text(encoding="utf-8") for path in (PACKAGE / "cluster").rglob("*.py")]
    names = {name for source in sources for name in cluster_names(source)}
    assert "ray" in names
    assert "torch.distributed" in names
    assert len(OUTSIDE) > 30


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("import ray", True),
        ("import ray.data as rd", True),
        ("from ray import train", True),
        ("def f():\n    import ray", True),
        ("import torch.distributed as dist", True),
        ("from torch import distributed", True),
        ("from torch.distributed import all_reduce", True),
        ("import torch\ntorch.distributed.barrier()", True),
        ("import torch, raynef, rays", False),
        ("from raynef.report import palette", False),
        ("x = 'import ray'  # torch.distributed", False),
    ],
)
def test_the_walk_sees(source, seen):
    assert bool(cluster_names(source)) == seen
