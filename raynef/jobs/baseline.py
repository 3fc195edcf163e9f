"""A baseline: features in, a linear head out, and the run's folder that every baseline has.

The folder holds a segmenter that predicts, saves and loads like the neural one. What tells one
baseline from another is ``Baseline.fit``: see ``raynef.jobs.kmeans`` and ``raynef.jobs.probe``.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raynef.cluster.session import ray_session
from raynef.config.recipe import Recipe, check
from raynef.core.errors import UserError
from raynef.jobs.clusters import with_clusters
from raynef.jobs.extract import ensure_store
from raynef.jobs.product import finish
from raynef.jobs.spent import FEATURES, FIT, RAY, START, Spent
from raynef.models.heads import LinearHead
from raynef.models.segmenter import Mapping, segmenter_folder
from raynef.stores.inputs import begin, found_again, training_images
from raynef.stores.run import RunFolder, hold
from raynef.work.patches import Source, views_of_patches
from raynef.work.views import fitting_backbone, view_side

if TYPE_CHECKING:
    from raynef.work.labels import PatchLabels

Result = dict[str, Any]


@dataclass(frozen=True)
class Inputs:
    """What a baseline is fitted to.

    Attributes:
        recipe: with its seed, ``train.seed``.
        source: features of the training views, of the backbone or of ψ.
        labels: of their patches, where the baseline is supervised; else None.
    """

    recipe: Recipe
    source: Source
    labels: "PatchLabels | None" = None


@dataclass(frozen=True)
class Baseline:
    """One baseline of one recipe.

    Attributes:
        kind: recorded with the run: its name after ``raynef baseline``, but for ``spectral``
            nystrom, as spectral is the kind of Deep Spectral Methods.
        recipe: of the run.
        fit: gives the head, and what the result says of it.
        trained: the run whose ψ makes the features; None for the backbone's own.
        supervised: it is trained on labels, and its outputs are their classes.
    """

    kind: str
    recipe: Recipe
    fit: Callable[[Inputs], tuple[LinearHead, Result]]
    trained: Path | None = None
    supervised: bool = False


def recipe_of_trained(run: str | Path) -> Recipe:
    """The recipe of a finished run of ψ. Raises UserError: it is none."""
    folder = RunFolder(Path(run))
    if folder.record().kind != "ours" or folder.finished() is None:
        raise UserError(f"{run} is no finished run of raynef train, whose ψ this builds upon")
    return folder.recipe()


def make(baseline: Baseline, out: str | Path, address: str | None = None) -> Result:
    """Hold the folder, provide features, fit, save; the result of ``raynef baseline``.

    Raises:
        UserError: the user's mistake, named.
    """
    spent = Spent()
    recipe = with_clusters(check(baseline.recipe), out)
    trained = RunFolder(baseline.trained.absolute()) if baseline.trained else None
    with hold(out, recipe, kind=baseline.kind) as run:
        finished = run.finished()
        if finished is not None:
            return found_again(run, recipe, finished)
        images = training_images(run, recipe)
        grid = view_side(recipe) // fitting_backbone(recipe).patch_size
        labels = None
        if baseline.supervised:
            from raynef.work.labels import patch_labels  # no other one imports what opens labels

            labels = patch_labels(images, recipe.data, grid=grid)
        begin(run, recipe, images, kind=baseline.kind)
        started = time.monotonic()
        spent.until_here(START)
        with ray_session(address, images=len(images.files), network_bound=True, on_gpu=True):
            spent.until_here(RAY)
            store = ensure_store(recipe, images, recipe.train.store or (trained or run).store)
            spent.until_here(FEATURES)
            trunk = segmenter_folder(baseline.trained).absolute() if baseline.trained else None
            views, precision = views_of_patches(recipe.data), recipe.train.precision
            source = Source(store, trunk, views=views, precision=precision)
            if labels is not None:
                labels.check(store.images())
            head, said = baseline.fit(Inputs(recipe, source, labels))
            spent.until_here(FIT)
            # Of ψ, itself or where it started from.
            upon = trained.finished() if trained else None
            names = images.class_names
            result = {
                "kind": baseline.kind,
                "trained": str(trained.path) if trained else None,
                **said,
                "num_images": len(store.images()),
                "supervised": baseline.supervised,
                "labels_leaked": bool(upon and upon["labels_leaked"]),
                "skipped": store.skipped,
                "seconds": round(time.monotonic() - started, 2),
            }
            mapping = Mapping(tuple(range(len(names))), names) if baseline.supervised else None
            return finish(run, recipe, head, result, store=store, spent=spent, mapping=mapping)
