"""Upsampled argmax against torch's bilinear interpolation of all maps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from raynef.segment import upsample as upsample_module
from raynef.segment.upsample import interpolation_matrix, upsample_argmax

pytestmark = pytest.mark.usefixtures("one_thread")


def logits_of(height, width, num_clusters, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((height, width, num_clusters), generator=generator)


def interpolated(logits, size):
    """[h, w, K] -> [H, W, K] by torch, in double precision."""
    planes = logits.double().permute(2, 0, 1)[None]
    maps = functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return maps[0].permute(1, 2, 0)


def cluster_map(logits, size, cells=None):
    """[h, w, K] -> [H, W]; ``cells`` is the (height, width) of a pixel in grid cells."""
    grid = logits.shape[:2]
    cells = cells or (grid[0] / size[0], grid[1] / size[1])
    rows = interpolation_matrix(size[0], grid[0], cell=cells[0])
    columns = interpolation_matrix(size[1], grid[1], cell=cells[1])
    return upsample_argmax(logits[None], rows, columns)[0]


def assert_largest(clusters, maps):
    """``clusters`` are the argmax of ``maps``, but for ties within float32's rounding."""
    top = maps.topk(min(2, maps.shape[-1]), dim=-1).values
    clear = (
        top[..., 0] - top[..., -1] > 1e-5 if maps.shape[-1] > 1 else torch.ones(maps.shape[:2]) > 0
    )
    assert clear.float().mean() > 0.99
    assert torch.equal(clusters[clear], maps.argmax(dim=-1)[clear])


@pytest.mark.parametrize("grid", [(1, 1), (1, 7), (6, 1), (5, 7), (2, 2)])
@pytest.mark.parametrize("factor", [1, 2, 3, 16])
def test_integer_factors(grid: tuple[int, int], factor: int):
    logits = logits_of(*grid, 9)
    size = (grid[0] * factor, grid[1] * factor)
    clusters = cluster_map(logits, size)
    assert clusters.shape == size
    assert clusters.dtype == torch.int64
    assert_largest(clusters, interpolated(logits, size))


@settings(max_examples=60)
@given(
    grid=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    size=st.tuples(st.integers(8, 60), st.integers(8, 60)),
    num_clusters=st.integers(1, 12),
)
def test_any_size(grid: tuple[int, int], size: tuple[int, int], num_clusters: int):
    logits = logits_of(*grid, num_clusters)
    assert_largest(cluster_map(logits, size), interpolated(logits, size))


@pytest.mark.parametrize("size", [(3, 4), (1, 1), (2, 9)])
def test_smaller_than_the_grid(size):
    logits = logits_of(9, 11, 6)
    assert_largest(cluster_map(logits, size), interpolated(logits, size))


@pytest.mark.parametrize("elements", [1, 100, 1000])
def test_chunks_do_not_matter(monkeypatch, elements):
    logits = logits_of(5, 7, 9)
    whole = cluster_map(logits, (43, 51))
    monkeypatch.setattr(upsample_module, "_CHUNK_ELEMENTS", elements)
    assert torch.equal(cluster_map(logits, (43, 51)), whole)


def test_memory_is_held_by_chunks(monkeypatch):
    """No product is larger than a chunk, but for one block of pixels."""
    made = []
    matmul = torch.Tensor.__matmul__

    def spy(left, right):
        made.append(matmul(left, right))
        return made[-1]

    monkeypatch.setattr(upsample_module, "_CHUNK_ELEMENTS", 4 * 64 * 9)
    monkeypatch.setattr(torch.Tensor, "__matmul__", spy)
    cluster_map(logits_of(5, 7, 9), (40, 56))
    assert len(made) > 5
    assert max(product.numel() for product in made) <= 4 * 64 * 9


def test_only_clusters_that_can_win_are_made(monkeypatch):
    """Four quarters, each sure of its cluster: of 512 maps, few are made but along the edges."""
    made = []
    matmul = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: made.append(matmul(a, b)) or made[-1]
    )
    logits = 0.1 * logits_of(8, 8, 512)
    sure = torch.kron(torch.tensor([[0, 1], [2, 3]]), torch.ones((4, 4), dtype=torch.int64))
    logits.scatter_add_(2, sure[:, :, None], torch.full((8, 8, 1), 5.0))
    clusters = cluster_map(logits, (128, 128))
    assert_largest(clusters, interpolated(logits, (128, 128)))
    assert sum(product.numel() for product in made) < 0.2 * 512 * 128 * 128


def test_weights_with_many_patches_a_pixel():
    """Any rows that sum to 1 will do, not only those of neighbors."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand((19, 6), generator=generator).softmax(dim=1)
    columns = torch.rand((23, 5), generator=generator).softmax(dim=1)
    columns[:, 2] = 0
    columns /= columns.sum(dim=1, keepdim=True)
    logits = 10 * logits_of(6, 5, 11)
    maps = torch.einsum("yh,xw,hwk->yxk", rows.double(), columns.double(), logits.double())
    assert_largest(upsample_argmax(logits[None], rows, columns)[0], maps)


def test_images_of_a_batch_are_apart():
    logits = torch.stack([logits_of(4, 5, 6, seed) for seed in range(3)])
    rows = interpolation_matrix(32, 4, cell=1 / 8)
    columns = interpolation_matrix(40, 5, cell=1 / 8)
    maps = upsample_argmax(logits, rows, columns)
    assert maps.shape == (3, 32, 40)
    for index in range(3):
        assert torch.equal(maps[index], upsample_argmax(logits[index, None], rows, columns)[0])


def test_no_number_wins_nowhere_and_stops_nothing():
    logits = logits_of(3, 3, 4)
    logits[1, 1] = torch.nan
    assert cluster_map(logits, (24, 24)).max() < 4


@pytest.mark.parametrize("size", [(40, 55), (33, 49), (48, 64), (47, 63)])
def test_a_grid_that_reaches_beyond_the_image(size):
    """Patches of 16 pixels, the last ones partly beyond: the image is a crop of its maps."""
    logits = logits_of(3, 4, 7)
    clusters = cluster_map(logits, size, (1 / 16, 1 / 16))
    assert_largest(clusters, interpolated(logits, (48, 64))[: size[0], : size[1]])


def test_cells_at_another_scale():
    """Segmented at 40×56 with patches of 16, shown at twice the size: 1/32 of a cell a pixel."""
    logits = logits_of(3, 4, 7)
    clusters = cluster_map(logits, (80, 112), (40 / 80 / 16, 56 / 112 / 16))
    assert_largest(clusters, interpolated(logits, (96, 128))[:80, :112])


def test_one_patch_gives_one_cluster():
    logits = torch.tensor([[[0.1, 3.0, -1.0]]])
    assert (cluster_map(logits, (5, 9)) == 1).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    logits = logits_of(4, 5, 6).to(dtype)
    assert_largest(cluster_map(logits, (32, 40)), interpolated(logits, (32, 40)))


@given(st.integers(1, 20), st.integers(1, 60), st.floats(0.01, 2))
def test_weights_are_a_partition_of_unity(num_in, num_out, cell):
    weights = interpolation_matrix(num_out, num_in, cell=cell)
    assert weights.shape == (num_out, num_in)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(num_out))
    assert (weights > 0).sum(dim=1).max() <= 2
