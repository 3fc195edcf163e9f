"""K-means on features of the backbone, or of ψ: ``raynef baseline kmeans`` and ``kmeans-psi``."""

import logging
from dataclasses import replace
from pathlib import Path

import torch

from raynef.assign.kmeans import find_centroids, moved
from raynef.config.recipe import KMeans, Recipe
from raynef.jobs.baseline import Baseline, Inputs, Result, make, recipe_of_trained
from raynef.models.heads import LinearHead, from_centroids
from raynef.work.patches import count_members, sample_patches

logger = logging.getLogger("raynef")


def kmeans(recipe: Recipe, out: str | Path, *, address: str | None = None) -> Result:
    """K-means on the backbone's last features; the result of ``raynef baseline kmeans``.

    The centers are found on patches drawn uniformly from all stored views of the training images
    (where views are shifted, from the images themselves), at most ``kmeans.max_points``, and moved
    once more to the means of all patches.

    Raises:
        UserError: the user's mistake, named.
    """
    return make(Baseline("kmeans", recipe, kmeans_head), out, address)


def kmeans_psi(
    run: str | Path,
    out: str | Path | None = None,
    *,
    settings: KMeans | None = None,
    address: str | None = None,
) -> Result:
    """Ours*: K-means on ψ's features before its head; the result of ``raynef baseline kmeans-psi``.

    Args:
        run: finished; its recipe and its feature store are used.
        out: folder of the baseline; RUN/kmeans-psi if None.
        settings: in place of the run's own ``kmeans`` section.
        address: of a Ray cluster.
    """
    recipe = recipe_of_trained(run)
    recipe = replace(recipe, kmeans=settings or recipe.kmeans)
    baseline = Baseline("kmeans-psi", recipe, kmeans_head, trained=Path(run))
    return make(baseline, Path(run) / baseline.kind if out is None else out, address)


def kmeans_head(inputs: Inputs) -> tuple[LinearHead, Result]:
    """K-means of features as a linear head, and what is to be said of it. Needs a running Ray."""
    config, seed = inputs.recipe.kmeans, inputs.recipe.train.seed
    source = replace(inputs.source, cosine=config.cosine, context=config.context)
    sample = sample_patches(source, max_points=config.max_points, seed=seed, job="sample")
    logger.info("K-means on %d of %d patches", len(sample.rows), sample.num_patches)
    centroids = find_centroids(
        sample.rows,
        inputs.recipe.eigen.num_eigenfunctions,
        iterations=config.iterations,
        seed=seed,
        cosine=config.cosine,
    )
    found = count_members(source, centroids, job="means")
    centroids = moved(centroids, found, cosine=config.cosine)
    head = from_centroids(
        torch.from_numpy(centroids),
        trunk=source.load_trunk(),
        cosine=config.cosine,
        context=config.context,
    )
    return head, {
        "num_clusters": len(centroids),
        "points": len(sample.rows),
        "points_of": sample.num_patches,
        "iterations": config.iterations,
        "cosine": config.cosine,
        "context": config.context,
        "empty_clusters": int((found.counts == 0).sum()),
        "inertia": found.inertia / max(1, int(found.counts.sum())),
    }
