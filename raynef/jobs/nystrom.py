"""Exact spectral clustering of all images' patches at once: ``raynef baseline spectral``.

One graph over patches of all training images, its eigenvectors by a Lanczos solver, clusters of
these, and Nyström's extension for new images. What neural eigenfunctions are measured against.
"""

import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from raynef.assign.kmeans import find_centroids
from raynef.assign.rotation import nearest_rotation
from raynef.config.recipe import Recipe
from raynef.core.affinity import Affinity
from raynef.core.draws import generator
from raynef.core.errors import UserError
from raynef.eigen.spectrum import smallest_eigenpairs
from raynef.graph.knn import unit_rows
from raynef.graph.whole import whole_affinity
from raynef.jobs.baseline import Baseline, Inputs, Result, make
from raynef.models.extension import Extension
from raynef.models.heads import LinearHead, from_centroids
from raynef.work.patches import sample_patches

logger = logging.getLogger("raynef")


def spectral(recipe: Recipe, out: str | Path, *, address: str | None = None) -> Result:
    """Spectral clustering of the whole set; the result of ``raynef baseline spectral``.

    Raises:
        UserError: the user's mistake, named.
    """
    return make(Baseline("nystrom", recipe, _fit), out, address)


_TOLERANCE = 1e-3
"""Of an eigenpair's residual, where the largest eigenvalue is 1."""


def _fit(inputs: Inputs) -> tuple[LinearHead, Result]:
    """The head that predicts by landmarks, and what is to be said of it. Needs a running Ray."""
    config, seed = inputs.recipe.nystrom, inputs.recipe.train.seed
    source = replace(inputs.source, context=config.context, pool=config.pool)
    sample = sample_patches(source, max_points=config.max_points, seed=seed, job="nodes")
    nodes = unit_rows(torch.from_numpy(sample.rows))
    if not torch.isfinite(nodes).all():
        raise UserError("the features hold NaN or infinity")
    logger.info("graph of %d of %d nodes", len(nodes), sample.num_patches)
    head, said = clusters_of_graph(nodes, inputs.recipe)
    return head, {**said, "nodes_of": sample.num_patches}


def clusters_of_graph(
    nodes: Tensor, recipe: Recipe, affinity: Affinity | None = None
) -> tuple[LinearHead, Result]:
    """Clusters of unit rows [n, D], as a head for any patch, and what is to be said of them.

    Args:
        nodes: what prediction finds a patch's nearest landmarks among.
        affinity: W over the nodes, where it is not that of their nearest neighbors.

    Raises:
        UserError: the graph has fewer eigenvectors than clusters are wanted.
    """
    config, seed = recipe.nystrom, recipe.train.seed
    num_clusters = recipe.eigen.num_eigenfunctions
    if affinity is None:
        affinity = whole_affinity(nodes, config.num_neighbors)
    pairs = smallest_eigenpairs(affinity, num_clusters, tolerance=_TOLERANCE, seed=seed)
    vectors = pairs.vectors[0].float()
    if vectors.shape[1] < num_clusters:
        raise UserError(
            f"a graph of {len(nodes)} nodes has no {num_clusters} eigenvectors; lower "
            "eigen.num_eigenfunctions, or raise nystrom.max_points"
        )
    drawn = generator("landmarks", seed).permutation(len(nodes))[: config.num_landmarks]
    landmarks = torch.from_numpy(drawn)
    extension = Extension(
        nodes[landmarks],
        vectors[landmarks],
        num_neighbors=config.num_neighbors,
        context=config.context,
    )
    # The nodes as any other patch is embedded, so that clusters are of what prediction will see.
    embedding = extension.embed(nodes)
    head = _discretized(embedding, extension, recipe)
    with torch.inference_mode():
        found = head.head(embedding).argmax(dim=1).unique()
    return head, {
        "num_clusters": num_clusters,
        "nodes": len(nodes),
        "landmarks": len(landmarks),
        "eigenvalue": float(pairs.values[0, -1]),
        "residual": float(pairs.residuals.max()),
        "isolated_nodes": int((pairs.degrees == 0).sum()),
        "empty_clusters": num_clusters - len(found),
    }


def _discretized(embedding: Tensor, extension: Extension, recipe: Recipe) -> LinearHead:
    """A linear layer on the embedding, unit rows [n, K]: K clusters."""
    seed, num_clusters = recipe.train.seed, embedding.shape[1]
    if recipe.nystrom.discretization == "kmeans":
        centroids = find_centroids(
            embedding.numpy(),
            num_clusters,
            iterations=recipe.kmeans.iterations,
            seed=seed,
        )
        return from_centroids(torch.from_numpy(centroids), trunk=extension)
    head = LinearHead(num_clusters, num_clusters, trunk=extension)
    rotation = nearest_rotation(embedding.numpy(), seed=seed)
    with torch.no_grad():
        head.head.weight.copy_(torch.from_numpy(rotation).T)
        nn.init.zeros_(head.head.bias)
    return head
