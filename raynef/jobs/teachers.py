"""The teachers of a training: found once for a run, on the driver.

RUN/teachers.safetensors    their centers, so that a resumed training learns the same
"""

import logging
from pathlib import Path

import safetensors.torch
import torch

from raynef.assign.teachers import Teachers, find_teachers
from raynef.config.recipe import Recipe
from raynef.features.weights import read_state
from raynef.io.files import write_atomic
from raynef.stores.features import FeatureStore
from raynef.work.patches import Source, sample_patches, views_of_patches

logger = logging.getLogger("raynef")

_FILE, _CENTERS = "teachers.safetensors", "centers"


def teachers_of(recipe: Recipe, store: FeatureStore, run: Path) -> Teachers | None:
    """The teachers of a run: found in its folder, or made; None where the objective has none.

    Made on patches drawn uniformly from the images themselves where views are shifted, from all
    views where they are augmented; ``train.seed`` draws them.

    Raises:
        UserError: fewer patches than clusters.
    """
    if recipe.eigen.objective != "clusterings":
        return None
    file, config = run / _FILE, recipe.teachers
    if not file.is_file():
        source = Source(store, context=1.0, views=views_of_patches(recipe.data))
        seed = recipe.train.seed
        sample = sample_patches(source, max_points=config.max_points, seed=seed, job="teachers")
        logger.info(
            "teachers: %d of K-means on %d of %d patches",
            len(config.contexts),
            len(sample.rows),
            sample.num_patches,
        )
        centers = find_teachers(
            sample.rows,
            config.contexts,
            recipe.eigen.num_eigenfunctions,
            iterations=recipe.kmeans.iterations,
            seed=seed,
        )
        tensors = {_CENTERS: torch.from_numpy(centers)}
        write_atomic(file, lambda path: safetensors.torch.save_file(tensors, path))
    return Teachers(read_state(file)[_CENTERS], config.contexts, config.temperature)
