"""Ways to find the nearest patches: all find the same."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from raynef.config.recipe import Eigen, Graph, Recipe, Train
from raynef.core.errors import UserError
from raynef.graph.knn import nearest_neighbors, unit_rows
from raynef.models.training import Trainer
from tests.places import ROOT
from tests.unit.models.test_training import planted

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton comes with torch for CUDA alone"
)


@pytest.mark.parametrize("search", ["topk", "faiss"])
@pytest.mark.parametrize(
    ("k", "first", "stop"), [(6, 0, 50), (6, 13, 29), (49, 0, 50), (1, 49, 50)]
)
def test_each_finds_what_blocks_find(search, k, first, stop):
    keys = unit_rows(torch.randn((50, 7), generator=torch.Generator().manual_seed(3)))
    options = {"num_neighbors": k, "first_row": first}
    columns, values = nearest_neighbors(keys[first:stop], keys, **options, search=search)
    expected_columns, expected = nearest_neighbors(keys[first:stop], keys, **options)
    torch.testing.assert_close(values.sort(dim=1).values, expected.sort(dim=1).values)
    assert torch.equal(columns.sort(dim=1).values, expected_columns.sort(dim=1).values)


def test_by_faiss_no_patch_is_its_own_neighbor_among_equal_ones():
    keys = unit_rows(torch.ones((12, 3)))
    columns, values = nearest_neighbors(keys, keys, num_neighbors=4, first_row=0, search="faiss")
    assert columns.shape == (12, 4)
    assert (columns != torch.arange(12)[:, None]).all()
    torch.testing.assert_close(values, torch.ones((12, 4)))


@needs_triton
def test_fused_is_the_same_by_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.unit.graph.fused_cases"]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr


@needs_triton
def test_fused_is_compiled_for_gpus_without_one():
    """Triton's own assembler takes both kernels, for an A100 and an H100."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from raynef.graph import fused

    shape = dict.fromkeys(("num_rows", "num_keys", "dim", "first_row"), "i32")
    outputs = {
        "_group_maxima": {"maxima": "*fp32", "num_groups": "i32"},
        "_reaching": {
            "threshold": "*fp32",
            "found": "*fp32",
            "at": "*i32",
            "k": "i32",
            "held": "i32",
        },
    }
    for name, out in outputs.items():
        kernel = getattr(fused, name)
        signature = {"queries": "*fp32", "keys": "*fp32", **shape, **out}
        signature |= dict.fromkeys(fused.SIZES, "constexpr")
        fixed = {(kernel.arg_names.index(size),): value for size, value in fused.SIZES.items()}
        for capability in (80, 90):
            source = ASTSource(kernel, signature=signature, constexprs=fixed)
            made = triton.compile(source, target=GPUTarget("cuda", capability, 32))
            assert len(made.asm["cubin"]) > 0


@needs_triton
def test_fused_without_a_gpu_is_an_error_that_says_so(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    keys = unit_rows(torch.randn(300, 4))
    with pytest.raises(UserError, match="CUDA"):
        nearest_neighbors(keys, keys, num_neighbors=3, first_row=0, search="fused")


def test_fused_without_triton_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "raynef.graph.fused", raising=False)
    keys = unit_rows(torch.randn(300, 4))
    with pytest.raises(UserError, match="Triton"):
        nearest_neighbors(keys, keys, num_neighbors=3, first_row=0, search="fused")


@needs_triton
def test_the_recipe_chooses(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    recipe = Recipe(
        graph=Graph(search="fused", num_neighbors=8),
        eigen=Eigen(num_eigenfunctions=4),
        train=Train(batch_size=8),
    )
    trainer = Trainer(recipe, in_dim=36, num_steps=1)
    with pytest.raises(UserError, match=r"graph\.search fused"):
        trainer.step(planted(8)[0], range(8), epoch=0)
