"""``raynef spectral compare``: every number of its result, from dense matrices."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional

from raynef.assign.kmeans import find_centroids
from raynef.cli.main import main
from raynef.core.errors import UserError
from raynef.eigen.psi import AttentionPsi
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.features.extract import extract_features
from raynef.images.decode import read_image
from raynef.images.geometry import center_crop, resize
from raynef.jobs.spectral.bridge import compare_spectra
from raynef.models.heads import LinearHead
from raynef.models.segmenter import Segmenter
from raynef.stores.run import RunFolder, bind
from tests.tiny import change
from tests.unit.graph.twins import dense_kernel

pytestmark = pytest.mark.usefixtures("one_thread")

K, TAU, ALPHA, NEIGHBORS = 12, 0.05, 0.7, 9  # none of them a default


@pytest.fixture(scope="module")
def own(recipe):
    pixels = ((6, 1.5), (3, 0.2))
    return change(
        recipe,
        graph={"alpha": ALPHA, "num_neighbors": NEIGHBORS, "pixel_neighbors": pixels},
        eigen={"tau_end": TAU},
    )


@pytest.fixture(scope="module")
def run_with(own, tmp_path_factory):
    """Makes the folder of a run with a head; ψ is random, nothing is trained."""
    backbone = load_backbone(own.backbone)

    def make(head):
        out = tmp_path_factory.mktemp("run")
        bind(RunFolder(out), own)
        made = Segmenter(backbone, head, backbone_config=own.backbone, short_side=64)
        made.save(out / "segmenter")
        return out

    return make


@pytest.fixture(scope="module")
def run(run_with, own):
    torch.manual_seed(3)
    return run_with(AttentionPsi(NUM_TAPS * load_backbone(own.backbone).dim, K))


@pytest.fixture(scope="module")
def photos(sample, tmp_path_factory):
    """The images of the sample, and one file among them that is none."""
    folder = tmp_path_factory.mktemp("photos") / "images"
    shutil.copytree(sample / "images", folder)
    (folder / "val_00000_broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def result(run, photos):
    return compare_spectra(run, str(photos), num_images=100, out=run / "compared.json")


@pytest.fixture(scope="module")
def dense(run, own, photos):
    """κ, its eigenpairs from the largest, ψ's functions and the backbone's features."""
    segmenter = Segmenter.load(run)
    files = sorted(path for path in photos.iterdir() if "broken" not in path.name)
    crops = [center_crop(resize(read_image(file), (64, 85)), 64) for file in files]
    with torch.inference_mode():
        parts = extract_features(segmenter.backbone, np.stack(crops))
        taps = parts.taps.float()
        logits = segmenter.head(taps).double().flatten(0, 1)
    features = taps[:, -1].flatten(0, 1)
    kernel = dense_kernel(
        features.double(),
        parts.thumbnails.double(),
        num_neighbors=NEIGHBORS,
        pixel_neighbors=own.graph.pixel_neighbors,
        alpha=ALPHA,
    )
    values, vectors = torch.linalg.eigh(kernel)
    functions = torch.exp(logits / TAU - torch.logsumexp(logits / TAU, dim=1, keepdim=True))
    return kernel, values.flip(0), vectors.flip(1), functions, features


def near(value):
    return pytest.approx(float(value), rel=1e-4, abs=1e-6)


def test_what_it_looked_at(result, run, photos):
    assert (result["num_images"], result["num_patches"]) == (14, 14 * 16)
    assert result["num_eigenfunctions"] == result["rank"] == K
    assert list(result["skipped"]) == ["val_00000_broken.jpg"]
    assert result["run"] == str(run)
    assert json.loads((run / "compared.json").read_text()) == result


def test_ritz_values_beside_eigenvalues(result, dense):
    kernel, values, _, functions, _ = dense
    basis, _ = torch.linalg.qr(functions)
    ritz = torch.linalg.eigvalsh(basis.T @ kernel @ basis).flip(0)
    exact = values[:K]
    assert result["trace_share"] == near(ritz.sum() / exact.sum())
    assert 0.1 < result["trace_share"] < 0.9
    assert result["eigenvalues"] == {"first": near(exact[0]), "last": near(exact[-1])}
    assert result["ritz_values"] == {"first": near(ritz[0]), "last": near(ritz[-1])}
    quotients = torch.stack([u @ kernel @ u / (u @ u) for u in functions.T])
    assert result["rayleigh"] == {
        "mean": near(quotients.mean()),
        "least": near(quotients.min()),
        "most": near(quotients.max()),
    }


def test_angles_and_what_is_captured(result, dense):
    """By projections: P of ψ's space, E of the eigenvectors'; cos² are eigenvalues of EPE."""
    _, _, vectors, functions, _ = dense
    projection = functions @ torch.linalg.pinv(functions)
    exact = vectors[:, :K]
    squares = torch.linalg.eigvalsh(exact.T @ projection @ exact).clamp(0, 1)
    angles = torch.rad2deg(torch.arccos(squares.sqrt())).sort().values
    assert result["angles"] == {
        "least": near(angles[0]),
        "median": near(angles[(K - 1) // 2]),
        "most": near(angles[-1]),
    }
    assert angles[-1] - angles[0] > 5
    captured = (projection @ exact).square().sum(dim=0)
    assert result["captured"] == {str(m): near(captured[:m].mean()) for m in (5, 10, K)}


def test_cuts_of_three_clusterings(result, dense):
    kernel, _, vectors, functions, features = dense
    nearest = {
        "neural": functions.argmax(dim=1).numpy(),
        "spectral": clustered(functional.normalize(vectors[:, :K], dim=1)),
        "kmeans": clustered(features),
    }
    cuts = {name: cut(kernel.numpy(), clusters) for name, clusters in nearest.items()}
    assert result["cut"] == {
        name: {"cut": near(value), "clusters": used} for name, (value, used) in cuts.items()
    }
    assert cuts["spectral"][0] < cuts["kmeans"][0] < cuts["neural"][0]


def clustered(rows):
    """The nearest of the centers that K-means finds, whatever the signs of columns."""
    points = rows.float().numpy()
    centers = find_centroids(points, K, iterations=50, seed=0, starts=5)
    return np.square(points[:, None] - centers[None]).sum(axis=2).argmin(axis=1)


def cut(kernel, clusters):
    """Mean of cut / volume over the clusters that there are, and how many."""
    shares = []
    for k in np.unique(clusters):
        inside, outside = clusters == k, clusters != k
        shares.append(kernel[inside][:, outside].sum() / kernel[inside].sum())
    return np.mean(shares), len(shares)


def test_at_most_so_many_images(run, sample):
    found = compare_spectra(run, str(sample / "images"), num_images=7)
    assert (found["num_images"], found["skipped"]) == (7, {})


def test_the_command(run, sample, capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["spectral", "compare", str(run), str(sample / "images"), "--num-images", "7"])
    assert json.loads(capsys.readouterr().out)["num_images"] == 7


def test_too_few_patches_for_a_spectrum(run, sample):
    with pytest.raises(UserError, match=r"1 images have 16 patches, too few .* of 12 eigenfunc"):
        compare_spectra(run, str(sample / "images" / "train_00000.jpg"))


def test_a_run_without_eigenfunctions(run_with, sample):
    with pytest.raises(UserError, match="has no eigenfunctions: a linear head makes"):
        compare_spectra(run_with(LinearHead(192, K)), str(sample / "images"))


def test_images_below_the_crop_are_named(run, tmp_path, sample, own):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "run.json").unlink()
    bind(RunFolder(folder), change(own, data={"crop": 80}))
    with pytest.raises(UserError, match=r"can be used: .*smaller than 80x80 pixels"):
        compare_spectra(folder, str(sample / "images" / "train_00000.jpg"))
