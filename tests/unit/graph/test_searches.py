"""Ways to find the nearest patches: all find the same."""

import importlib.util
import os
import subprocess
import sys
from functools import partial

import pytest
import torch

from raynef.config.recipe import Eigen, Graph, Recipe, Train
from raynef.core.errors import UserError
from raynef.graph import build_kernel, rounded
from raynef.graph.knn import nearest_neighbors, search_on, unit_rows
from raynef.graph.rounded import rounded_neighbors
from raynef.models.training import Trainer
from tests.places import ROOT
from tests.unit.models.test_training import planted

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton comes with torch for CUDA alone"
)


@pytest.mark.parametrize("search", ["auto", "topk", "faiss", "bfloat16"])
@pytest.mark.parametrize(
    ("k", "first", "stop"), [(6, 0, 50), (6, 13, 29), (49, 0, 50), (1, 49, 50), (6, 13, 13)]
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


def alike(num_rows: int, dim: int, *, shift: float, seed: int = 0) -> torch.Tensor:
    """Unit rows, the more alike the larger the shift."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn((num_rows, dim), generator=generator)
    return unit_rows(rows + shift * torch.randn((1, dim), generator=generator))


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
@pytest.mark.parametrize(
    ("num_rows", "dim", "k", "first", "stop"),
    [(1003, 24, 20, 0, 1003), (1003, 24, 20, 300, 517), (640, 64, 100, 0, 640), (500, 5, 1, 0, 9)],
)
def test_what_bfloat16_chooses_is_what_float32_would(num_rows, dim, k, first, stop, shift):
    keys = alike(num_rows, dim, shift=shift)
    found = partial(nearest_neighbors, keys[first:stop], keys, num_neighbors=k, first_row=first)
    columns, values = found(search="bfloat16")
    expected_columns, expected = found()
    assert columns.dtype == torch.int64
    torch.testing.assert_close(
        values.sort(dim=1).values, expected.sort(dim=1).values, atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        values, (keys[first:stop, None] * keys[columns]).sum(dim=2), atol=1e-6, rtol=0
    )
    shared = columns.sort(dim=1).values == expected_columns.sort(dim=1).values
    assert shared.float().mean() > 0.9999
    assert all(len(set(row)) == k for row in columns.tolist())


def test_bfloat16_loses_no_neighbor_where_a_threshold_has_no_room():
    """The nearest of each of these 126 rows lie in groups of their own, so that the k-th largest
    maximum is the k-th largest similarity, and rounding puts others before it."""
    near, far = alike(126, 24, shift=2.0), alike(877, 24, shift=1.0, seed=1)
    keys = torch.cat((near, unit_rows(far - 2 * near.mean(dim=0))))
    found = partial(nearest_neighbors, near, keys, num_neighbors=20, first_row=0)
    (columns, _), (expected, _) = found(search="bfloat16"), found()
    assert torch.equal(columns.sort(dim=1).values, expected.sort(dim=1).values)


def test_bfloat16_has_candidates_of_its_own(monkeypatch):
    """Or the tests above would hold blocks to blocks."""
    keys = alike(1003, 24, shift=1.0)

    def not_asked(*_):
        raise AssertionError("a row was left to float32")

    columns, _ = rounded_neighbors(keys, keys, 20, 0, otherwise=not_asked)
    assert columns.shape == (1003, 20)
    monkeypatch.setattr(rounded, "_BLOCK_ELEMENTS", 10_000)  # many blocks
    again, _ = rounded_neighbors(keys, keys, 20, 0, otherwise=not_asked)
    assert torch.equal(again.sort(dim=1).values, columns.sort(dim=1).values)


@pytest.mark.parametrize(
    "keys",
    [
        unit_rows(torch.ones(400, 8)),  # all are candidates
        unit_rows(torch.cat((torch.zeros(390, 8), torch.eye(8), torch.ones(2, 8)))),
        torch.cat((torch.eye(8), -torch.eye(8))).repeat(25, 1),  # half are below 0
        alike(400, 8, shift=1.0).double(),
        torch.cat((alike(399, 8, shift=1.0), torch.full((1, 8), torch.nan))),
    ],
    ids=["equal", "zero", "opposite", "float64", "nan"],
)
def test_rows_without_candidates_are_left_to_float32(keys):
    found = partial(nearest_neighbors, keys, keys, num_neighbors=30, first_row=0)
    (_, values), (_, expected) = found(search="bfloat16"), found()
    assert torch.equal(values, expected) or expected.isnan().any()
    assert torch.equal(values.isnan(), expected.isnan())


@pytest.mark.parametrize("dim", [8, 192, 768])
def test_no_rounded_similarity_is_farther_off_than_its_bound(dim):
    """Beside float64; of rows along few axes, whose errors add up, and of rows of many."""
    for keys in (alike(300, dim, shift=1.0), unit_rows(alike(300, dim, shift=0.0) ** 5)):
        small = keys.bfloat16()
        bound = rounded._bound(keys, small, keys, small)[:, None].double()
        exact = keys.double() @ keys.double().T
        off = (small.double() @ small.double().T - exact).abs()
        assert (off <= bound).all()
        rough = (small @ small.T).double()
        assert ((rough - exact).abs() <= bound + rounded._LAST_BIT * rough.abs()).all()
        assert bound.max() < 0.01


def test_auto_is_bfloat16_on_a_cpu_that_trains_in_it():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert search_on("auto", cpu, half=True) == "bfloat16"
    assert search_on("auto", cpu, half=False) == "blocks"
    assert search_on("auto", cuda, half=True) == "blocks"
    assert search_on("topk", cpu, half=True) == "topk"


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


@pytest.mark.parametrize(
    ("precision", "native", "search"),
    [
        ("auto", True, "bfloat16"),
        ("bfloat16", True, "bfloat16"),
        ("bfloat16", False, "blocks"),  # emulated products are slow
        ("auto", False, "blocks"),
        ("float32", True, "blocks"),
    ],
)
def test_auto_follows_the_precision_of_training(precision, native, search, monkeypatch):
    asked = []

    def recorded(*args, **settings):
        asked.append(settings["search"])
        return build_kernel(*args, **settings)

    monkeypatch.setattr("raynef.models.objectives.build_kernel", recorded)
    for module in ("raynef.models.objectives", "raynef.features.precision"):
        monkeypatch.setattr(f"{module}.has_bfloat16", lambda _: native)
    recipe = Recipe(
        graph=Graph(num_neighbors=8),
        eigen=Eigen(num_eigenfunctions=4),
        train=Train(batch_size=8, precision=precision),
    )
    trainer = Trainer(recipe, in_dim=36, num_steps=1, device=torch.device("cpu"))
    trainer.step(planted(8)[0], range(8), epoch=0)
    assert asked == [search]


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
