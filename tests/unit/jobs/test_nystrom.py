"""Spectral clustering of a whole set: planted clusters, and the run that the command makes."""

import numpy as np
import pytest
import torch
from PIL import Image

import raynef
from raynef.config.recipe import Recipe
from raynef.core.errors import UserError
from raynef.features.extract import extract_features
from raynef.graph.knn import unit_rows
from raynef.jobs.evaluate import evaluate
from raynef.jobs.nystrom import clusters_of_graph, spectral
from tests.tiny import change


def rings(count=600, seed=0):
    """Points of five parallel rings on a sphere, which no five centers tell apart."""
    draws = torch.Generator().manual_seed(seed)
    ring = torch.arange(count) % 5
    place = torch.arange(count) // 5 + torch.rand(count, generator=draws)
    angle = 2 * torch.pi * place / (count // 5)  # a ring without a gap
    height = 0.5 * ring - 1 + 0.02 * torch.randn(count, generator=draws)
    return ring, unit_rows(torch.stack((angle.cos(), angle.sin(), height), dim=1))


@pytest.mark.parametrize("discretization", ["rotation", "kmeans"])
@pytest.mark.parametrize("num_landmarks", [600, 300])
def test_it_finds_clusters_that_are_not_around_centers(discretization, num_landmarks):
    known, nodes = rings()
    recipe = change(
        Recipe(),
        eigen={"num_eigenfunctions": 5},
        nystrom={
            "num_neighbors": 6,
            "num_landmarks": num_landmarks,
            "discretization": discretization,
        },
    )
    head, said = clusters_of_graph(nodes, recipe)
    assert said["landmarks"] == num_landmarks
    for truth, points in ((known, nodes), rings(seed=1)):
        found = head(points[None, None])[0].argmax(dim=1)
        table = torch.zeros(5, 5).index_put_((found, truth), torch.tensor(1.0), accumulate=True)
        pure = table.amax(dim=1).sum() / len(points)
        # One start of K-means may split a ring and take two others for one.
        assert pure > (0.98 if discretization == "rotation" else 0.75)


def test_more_clusters_than_eigenvectors_are_refused():
    recipe = change(Recipe(), eigen={"num_eigenfunctions": 12})
    with pytest.raises(UserError, match="a graph of 8 nodes has no 12 eigenvectors"):
        clusters_of_graph(unit_rows(torch.rand(8, 3)), recipe)


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("context", [0.0, 0.3])
def test_its_run_is_one_like_any_other(recipe, tmp_path, context):
    recipe = change(recipe, nystrom={"context": context, "num_landmarks": 40, "num_neighbors": 4})
    result = spectral(recipe, tmp_path)
    assert (result["kind"], result["num_clusters"], result["landmarks"]) == ("nystrom", 12, 40)
    assert result["nodes"] == result["nodes_of"] <= 2 * 10 * 4  # views, images, pooled patches
    assert (result["supervised"], result["labels_leaked"]) == (False, False)
    assert 0 < evaluate(tmp_path)["accuracy"] < 1
    segmenter = raynef.Segmenter.load(tmp_path)
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    taps = extract_features(segmenter.backbone, image[None]).taps.float()
    expected = segmenter.head(taps, grid=(4, 6)).view(1, 4, 6, 12)
    assert torch.equal(segmenter.patch_logits(image[None]), expected)
    again = segmenter.save(tmp_path / "again")
    assert (segmenter(image).clusters == raynef.Segmenter.load(again)(image).clusters).all()


@pytest.mark.usefixtures("without_ray")
def test_no_label_reaches_it(recipe, copy_of_sample, tmp_path):
    """All labels of one class: bit-identical weights."""
    spectral(recipe, tmp_path / "one")
    for path in (copy_of_sample / "labels").iterdir():
        Image.fromarray(np.zeros((96, 128), dtype=np.uint8)).save(path)
    spectral(change(recipe, data={"root": str(copy_of_sample)}), tmp_path / "two")
    one, two = (
        (tmp_path / name / "segmenter" / "model.safetensors").read_bytes()
        for name in ("one", "two")
    )
    assert one == two
