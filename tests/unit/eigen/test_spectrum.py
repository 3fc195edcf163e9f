"""Exact eigenpairs beside SciPy's dense ones, and what degenerate graphs give."""

import numpy as np
import pytest
import scipy.linalg
import torch

from raynef.core.affinity import Affinity, stacked
from raynef.core.kernel import csr
from raynef.eigen.lanczos import _qr
from raynef.eigen.spectrum import smallest_eigenpairs
from raynef.graph.affinity import assembled
from raynef.images.decode import read_image
from raynef.images.geometry import resize


@pytest.fixture(scope="module")
def real_keys(shared_dir):
    """The attention keys of a real photograph by a real ViT, and the photograph."""
    from raynef.config.recipe import Backbone
    from raynef.features.backbone import load_backbone

    folder = shared_dir / "weights" / "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    weights = str(folder / "model.safetensors")
    backbone = load_backbone(Backbone("vit_tiny_patch16_224", weights=weights, tap="keys"))
    photographs = sorted((shared_dir / "data" / "coco128" / "JPEGImages").glob("*.jpg"))
    photograph = read_image(photographs[0])
    height, width = (side // 16 * 16 for side in photograph.shape[:2])
    pixels = torch.from_numpy(photograph[:height, :width].copy()).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (backbone.mean, backbone.std))
    keys = backbone((pixels - mean) / std)[0, -1]
    return keys.view(height // 16, width // 16, -1), photograph


def square(matrix: torch.Tensor) -> tuple[int, int]:
    """The shape of a square matrix."""
    return len(matrix), len(matrix)


def affinity_of(matrix):
    """A dense symmetric matrix as an Affinity, in float64."""
    sparse = torch.from_numpy(np.asarray(matrix, dtype=np.float64)).to_sparse_csr()
    parts = (sparse.crow_indices(), sparse.col_indices(), sparse.values())
    return Affinity(factor=None, dense=None, sparse=csr(*parts, square(sparse)))


def dense_twin(matrix, num_pairs):
    """SciPy's generalised problem (D - W) y = λ D y."""
    degrees = np.diag(matrix.sum(axis=1))
    return scipy.linalg.eigh(degrees - matrix, degrees, subset_by_index=[0, num_pairs - 1])


def blobs(sizes=(60, 90, 150), seed=0, noise=0.02):
    """Planted graph: dense within groups, thin between them."""
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    matrix = generator.random((len(owner), len(owner)))
    matrix *= np.where(owner[:, None] == owner, 1.0, noise)
    return (matrix + matrix.T) / 2


def check_pairs(found, matrix):
    vectors, degrees = found.vectors[0], found.degrees[0]
    gram = vectors.T @ (degrees[:, None] * vectors)
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=gram.dtype), atol=1e-9, rtol=0)
    assert (found.values[0].diff() >= -1e-12).all()
    laplacian = np.diag(matrix.sum(axis=1)) - matrix
    left = laplacian @ vectors.numpy()
    right = matrix.sum(axis=1)[:, None] * vectors.numpy() * found.values[0].numpy()
    np.testing.assert_allclose(left, right, atol=1e-5)


@pytest.mark.parametrize("solver", ["lanczos", "dense"])
@pytest.mark.parametrize("seed", [0, 1])
def test_eigenpairs_of_a_planted_graph(solver, seed):
    matrix = blobs(seed=seed)
    found = smallest_eigenpairs(affinity_of(matrix), 12, solver=solver)
    values, _ = dense_twin(matrix, 12)
    np.testing.assert_allclose(found.values[0].numpy(), values, atol=1e-9)
    check_pairs(found, matrix)
    assert found.residuals.max() < 1e-6
    assert found.vectors[0, :, 0].std() < 1e-12  # the constant one comes first, and positive
    assert found.vectors[0, 0, 0] > 0
    positive = (found.vectors[0, :, 1:] > 0).double().mean(dim=0)
    assert (positive <= 0.5).all()


REAL = [
    (grid, color_weight, form)
    for grid in [(14, 14), (30, 40)]
    for color_weight in [0.0, 1.0, 10.0]
    for form in ["factored", "dense"]
] + [((30, 40), float("inf"), "auto")]
# Dense problems of 2,700 and 4,800 nodes take their time.
LARGE = [
    ((45, 60), color_weight, form)
    for color_weight in [0.0, 1.0, 10.0]
    for form in ["factored", "dense"]
] + [((60, 80), 10.0, "auto")]


@pytest.mark.parametrize(
    ("grid", "color_weight", "form"),
    [*REAL, *(pytest.param(*case, marks=pytest.mark.slow) for case in LARGE)],
)
def test_real_features_agree_with_a_dense_solver(real_keys, grid, color_weight, form):
    """Eigenvalues to 1e-5 and subspaces to 1e-3."""
    features, photograph = real_keys
    image = resize(photograph, grid) / 255
    affinity = assembled(features, image, color_weight=color_weight, form=form).on()
    found = smallest_eigenpairs(affinity, 20)
    matrix = affinity.to_dense()[0].numpy()
    degrees = matrix.sum(axis=1)
    scaled = matrix / np.sqrt(np.outer(degrees, degrees))
    size = len(matrix)
    top, vectors = scipy.linalg.eigh(scaled, subset_by_index=[size - 21, size - 1])
    values, vectors = 1 - top[::-1], vectors[:, ::-1]
    np.testing.assert_allclose(found.values[0].numpy(), values[:20], atol=1e-5)
    ours = np.sqrt(degrees)[:, None] * found.vectors[0].numpy()
    # A subspace is defined up to its last gap: that of the largest gap among the last ten.
    last = 10 + int(np.argmax(np.diff(values[10:21])))
    theirs = vectors[:, : last + 1]
    outside = ours[:, : last + 1] - theirs @ (theirs.T @ ours[:, : last + 1])
    assert np.linalg.norm(outside, 2) < 1e-3
    assert found.residuals.max() < 1e-5


def test_several_graphs_at_once_are_those_alone():
    matrices = [blobs(seed=s) for s in range(3)]
    together = smallest_eigenpairs(stacked([affinity_of(m) for m in matrices]), 6)
    for index, matrix in enumerate(matrices):
        alone = smallest_eigenpairs(affinity_of(matrix), 6)
        torch.testing.assert_close(together.values[index], alone.values[0])
        np.testing.assert_allclose(together.vectors[index].abs(), alone.vectors[0].abs(), atol=1e-5)


def test_single_precision_is_the_same_to_its_tolerance():
    matrix = blobs(sizes=(100, 150, 200))
    double = affinity_of(matrix)
    parts = (double.sparse.crow_indices(), double.sparse.col_indices())
    values = double.sparse.values().float()
    single = Affinity(factor=None, dense=None, sparse=csr(*parts, values, matrix.shape))
    found = smallest_eigenpairs(single, 8)
    assert found.vectors.dtype == torch.float32
    assert found.residuals.max() < 2e-4
    expected = smallest_eigenpairs(double, 8)
    np.testing.assert_allclose(found.values[0], expected.values[0], atol=1e-5)
    root = expected.degrees[0].sqrt()[:, None]
    ours, theirs = (root * pairs.vectors[0, :, :3].double() for pairs in (found, expected))
    assert torch.linalg.norm(ours - theirs @ (theirs.T @ ours), ord=2) < 1e-3
    apart = affinity_of(np.kron(np.eye(4), np.ones((90, 90))))  # Lanczos exhausts the spaces
    values = apart.sparse.values().float()
    parts = (apart.sparse.crow_indices(), apart.sparse.col_indices())
    single = Affinity(factor=None, dense=None, sparse=csr(*parts, values, square(apart.sparse)))
    found = smallest_eigenpairs(single, 8)
    np.testing.assert_allclose(found.values[0], [0] * 4 + [1] * 4, atol=1e-5)


@pytest.mark.parametrize(("grid", "form"), [((14, 14), "dense"), ((30, 40), "factored")])
@pytest.mark.parametrize("color_weight", [0.0, 10.0])
def test_lower_products_give_the_same_pairs(real_keys, grid, form, color_weight):
    features, photograph = real_keys
    image = resize(photograph, grid) / 255
    affinity = assembled(features, image, color_weight=color_weight, form=form).on()
    found = smallest_eigenpairs(affinity, 10, products=torch.float32)
    expected = smallest_eigenpairs(affinity, 10)
    assert found.vectors.dtype == torch.float64
    torch.testing.assert_close(found.values, expected.values, atol=1e-7, rtol=0)
    gram = found.vectors[0].T @ (found.degrees[0][:, None] * found.vectors[0])
    torch.testing.assert_close(gram, torch.eye(10, dtype=gram.dtype), atol=1e-9, rtol=0)
    weights = affinity.to_dense()[0]
    ours = found.degrees[0].sqrt()[:, None] * found.vectors[0]
    scale = found.degrees[0].rsqrt()[:, None]
    image_of = scale * (weights @ (scale * ours))
    honest = (image_of - ours * (1 - found.values[0])).norm(dim=0)
    torch.testing.assert_close(found.residuals[0], honest, atol=1e-6, rtol=0)
    assert 0 < honest.max() < 2e-5


def test_pairs_that_lower_products_do_not_reach_are_solved_again(monkeypatch):
    affinity = affinity_of(blobs())
    exact = smallest_eigenpairs(affinity, 8)
    refined = smallest_eigenpairs(affinity, 8, products=torch.float32)
    assert not torch.equal(refined.vectors, exact.vectors)
    monkeypatch.setattr("raynef.eigen.spectrum._ROUGH", 1e-2)  # stops far too early
    again = smallest_eigenpairs(affinity, 8, products=torch.float32)
    assert torch.equal(again.vectors, exact.vectors)


@pytest.mark.parametrize("size", [9000, 8193, 10 * 1024])
def test_a_tall_qr_is_a_qr(size):
    block = torch.randn(2, size, 12, dtype=torch.float64)
    block[1, :, 3] = 0
    columns, factor = _qr(block)
    torch.testing.assert_close(columns @ factor, block)
    identity = torch.eye(12, dtype=torch.float64).expand(2, -1, -1)
    torch.testing.assert_close(columns.mT @ columns, identity)
    assert factor.tril(-1).abs().max() == 0
    assert factor[1, 3, 3].abs() < 1e-12


def test_two_runs_are_identical():
    first, second = (smallest_eigenpairs(affinity_of(blobs()), 8) for _ in range(2))
    assert torch.equal(first.vectors, second.vectors)


def test_a_disconnected_graph_has_a_zero_for_each_component():
    matrix = blobs(noise=0.0)
    found = smallest_eigenpairs(affinity_of(matrix), 5)
    assert (found.values[0, :3].abs() < 1e-9).all()
    assert found.values[0, 3] > 0.1
    check_pairs(found, matrix)
    for start, stop in ((0, 60), (60, 150), (150, 300)):  # constant on each component
        assert found.vectors[0, start:stop, :3].std(dim=0).max() < 1e-7


def test_identical_nodes():
    """All eigenvalues but the first are 1: nothing is there to find, and nothing fails."""
    found = smallest_eigenpairs(affinity_of(np.ones((300, 300))), 15)
    torch.testing.assert_close(found.values[0, 1:], torch.ones(14, dtype=torch.float64))
    check_pairs(found, np.ones((300, 300)))


def test_one_node_and_few_nodes():
    one = smallest_eigenpairs(affinity_of([[1.0]]), 15)
    assert one.values.tolist() == [[0.0]]
    assert one.vectors.tolist() == [[[1.0]]]
    two = smallest_eigenpairs(affinity_of([[1.0, 0.5], [0.5, 1.0]]), 15)
    assert two.values.shape == (1, 2)
    np.testing.assert_allclose(two.values[0, 1], 1 - (1 - 0.5) / 1.5)


@pytest.mark.parametrize("solver", ["lanczos", "dense"])
def test_isolated_nodes_belong_to_no_vector(solver):
    matrix = blobs()
    matrix[7], matrix[:, 7] = 0, 0
    found = smallest_eigenpairs(affinity_of(matrix), 6, solver=solver)
    assert (found.vectors[0, 7] == 0).all()
    keep = np.arange(300) != 7
    values, _ = dense_twin(matrix[np.ix_(keep, keep)], 6)
    np.testing.assert_allclose(found.values[0], values, atol=1e-9)
    nothing = smallest_eigenpairs(affinity_of(np.zeros((4, 4))), 3)
    assert nothing.vectors.isfinite().all()


def test_fewer_than_one_pair_is_refused():
    with pytest.raises(ValueError, match="num_pairs must be >= 1, got 0"):
        smallest_eigenpairs(affinity_of(blobs()), 0)
