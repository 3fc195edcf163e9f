"""What the trials of a sweep share, made before they start: features, and eigenpairs."""

import logging
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path

from raynef.config.recipe import Recipe
from raynef.core.errors import UserError
from raynef.images.datasets.registry import open_split
from raynef.jobs.extract import ensure_store, fitting_backbone
from raynef.sweeps.runs import store_of
from raynef.sweeps.search import Trials
from raynef.sweeps.spectral import make_stores, same_stores

logger = logging.getLogger("raynef")


def _make_stores(
    trials: Trials, what: str, key: Callable[[Recipe], Hashable], make: Callable[[Recipe], object]
) -> None:
    """What trials share, once for each key; where it cannot be made its trials have failed."""
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


def make_features(trials: Trials, out: Path) -> None:
    """Every feature store that a trial needs."""

    def place(recipe: Recipe) -> Path | None:
        return None if recipe.train.features == "streamed" else store_of(out, recipe)

    def make(recipe: Recipe) -> None:
        fitting_backbone(recipe)
        images = open_split(recipe.data, recipe.data.train_split)
        ensure_store(recipe, images, store_of(out, recipe))

    _make_stores(trials, "features", place, make)


def make_spectral_stores(trials: Trials, out: Path) -> None:
    """Likewise features and eigenpairs for the trials of a spectral space."""
    make = partial(make_stores, out=out, num_eigenvectors=most_eigenvectors(trials))
    _make_stores(trials, "eigenpairs", same_stores, make)


def most_eigenvectors(trials: Trials) -> int:
    """Of all trials, done or not, so that a sweep that goes on finds its stores."""
    planned = trials.plan().trials
    return max((trial.recipe.spectral.num_eigenvectors for trial in planned), default=0)
