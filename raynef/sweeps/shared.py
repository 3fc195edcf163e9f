"""What the trials of a sweep share, made before they start.

SWEEP/features/KEY/              features, of views or of whole images
SWEEP/spectral/KEY/eigen/        eigenpairs, for all trials that differ in what is made of them
SWEEP/spectral/KEY/segments-…/   segments with their features
"""

import logging
from collections.abc import Hashable
from dataclasses import replace
from functools import partial
from pathlib import Path

from raynef.config.recipe import Recipe, Spectral, fingerprint
from raynef.core.errors import UserError
from raynef.features.blocks import load_block_features
from raynef.images.datasets.registry import open_split
from raynef.jobs.extract import ensure_store
from raynef.jobs.spectral.eigen import eigen_key, ensure_eigenpairs
from raynef.jobs.spectral.features import ensure_features, features_key
from raynef.jobs.spectral.semantic import OWN
from raynef.stores.features import store_key
from raynef.sweeps.search import Trials
from raynef.work.views import fitting_backbone

logger = logging.getLogger("raynef")


def make_shared(trials: Trials, out: Path, *, spectral: bool) -> None:
    """All that trials share, once; where it cannot be made the trials that need it have failed."""
    what, key, make = "features", partial(_store_in, out), partial(_make_features, out=out)
    if spectral:
        what, key = "eigenpairs", same_stores
        make = partial(make_eigenpairs, out=out, num_eigenvectors=most_eigenvectors(trials))
    errors: dict[Hashable, str | None] = {None: None}  # a trial of key None shares nothing
    for recipe in trials.recipes():
        place = key(recipe)
        if place not in errors:
            errors[place] = None
            try:
                make(recipe)
            except UserError as mistake:
                logger.error("%s of %s: %s", what, recipe.backbone.name, mistake)
                errors[place] = str(mistake)
        error = errors[place]
        if error is not None:
            trials.give_up(recipe, error)


def store_of(out: Path, recipe: Recipe) -> Path:
    """The feature store of a recipe below ``out``: recipes with equal features share it."""
    images = open_split(recipe.data, recipe.data.train_split)
    return out / "features" / fingerprint(store_key(recipe, images))


def with_store(recipe: Recipe, out: Path) -> Recipe:
    """The recipe on the feature store that it shares below ``out``."""
    return replace(recipe, train=replace(recipe.train, store=str(store_of(out, recipe))))


def _store_in(out: Path, recipe: Recipe) -> Path | None:
    return None if recipe.train.features == "streamed" else store_of(out, recipe)


def _make_features(recipe: Recipe, *, out: Path) -> None:
    fitting_backbone(recipe)
    images = open_split(recipe.data, recipe.data.train_split)
    ensure_store(recipe, images, store_of(out, recipe))


def same_stores(recipe: Recipe) -> Hashable:
    """Equal for recipes whose trials share features and eigenpairs."""
    defaults = Spectral()
    spectral = replace(recipe.spectral, **{name: getattr(defaults, name) for name in OWN})
    return recipe.data, recipe.backbone, spectral


def most_eigenvectors(trials: Trials) -> int:
    """Of all trials, done or not, so that a sweep that goes on finds its stores."""
    planned = trials.plan().trials
    return max((trial.recipe.spectral.num_eigenvectors for trial in planned), default=0)


def make_eigenpairs(recipe: Recipe, out: Path, *, num_eigenvectors: int = 0) -> tuple[Path, Path]:
    """Folders of the features and eigenpairs of a recipe: found, or made, or finished.

    A store of ``num_eigenvectors``, the most that any trial of the sweep takes, serves all. Raises
    UserError as ``raynef.jobs.spectral.eigen.eigen``.
    """
    images = open_split(recipe.data, recipe.data.train_split)
    stride = load_block_features(recipe.backbone, recipe.spectral).stride
    most = max(num_eigenvectors, recipe.spectral.num_eigenvectors)
    recipe = replace(recipe, spectral=replace(recipe.spectral, num_eigenvectors=most))
    key = features_key(recipe, images, stride)
    features = out / "features" / fingerprint(key)
    pairs = out / "spectral" / fingerprint(eigen_key(key, recipe.spectral)) / "eigen"
    store = ensure_features(recipe, images, features, stride=stride)
    ensure_eigenpairs(recipe, images, store, pairs)
    return features, pairs
