"""The spectral trials of a sweep: the stores that they share, and the scores of each method.

SWEEP/features/KEY/              features of whole images
SWEEP/spectral/KEY/eigen/        eigenpairs, for all trials that differ in what is made of them
SWEEP/spectral/KEY/segments-…/   segments with their features
SWEEP/trials/NAME/run/JOB/       a STORE of each job, which points to these, with its page
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raynef.config.recipe import Recipe, Spectral, fingerprint, to_dict
from raynef.core.errors import UserError
from raynef.features.blocks import load_block_features
from raynef.images.datasets.boxes import require_boxes
from raynef.images.datasets.imageset import ImageSet, require_labels
from raynef.images.datasets.registry import open_split
from raynef.io.files import read_json
from raynef.io.storage import without_secrets
from raynef.jobs.spectral.eigen import claim, eigen_key, ensure_eigenpairs
from raynef.jobs.spectral.features import ensure_features, features_key
from raynef.jobs.spectral.objects import has_masks
from raynef.jobs.spectral.semantic import OWN
from raynef.stores.run import git_commit
from raynef.sweeps.methods import METHODS, Method, job_of
from raynef.sweeps.state import RunScore
from raynef.sweeps.sweep import Trial, score_key


@dataclass(frozen=True)
class Stores:
    """Folders of the features and of the eigenpairs of a recipe."""

    features: Path
    pairs: Path


def same_stores(recipe: Recipe) -> Hashable:
    """Equal for recipes whose trials share features and eigenpairs."""
    defaults = Spectral()
    spectral = replace(recipe.spectral, **{name: getattr(defaults, name) for name in OWN})
    return recipe.data, recipe.backbone, spectral


def make_stores(recipe: Recipe, out: Path, *, num_eigenvectors: int = 0) -> Stores:
    """The features and eigenpairs of a recipe in the sweep ``out``: found, or made, or finished.

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
    return Stores(features, pairs)


def require_truth(methods: Sequence[str], images: ImageSet) -> None:
    """Raise UserError unless a data set has what some methods are scored on."""
    needed = {METHODS[method].truth for method in methods}
    if "boxes" in needed:
        require_boxes(images)
    if "labels" in needed:
        require_labels(images)
    if "masks" in needed and not has_masks(images):
        raise UserError(
            f"{without_secrets(images.root)} has no masks of two classes, background and "
            "foreground; object is scored on cub, duts_te, dut_omron, ecssd, or a folder with "
            "labels of two classes"
        )


def spectral_scores(
    trial: Trial, folder: Path, out: Path, *, num_eigenvectors: int = 0
) -> list[RunScore]:
    """The score of every method of a spectral trial, each found in its STORE or made.

    ``folder`` is the trial's; ``train.seed`` of its recipe is of K-means. Raises UserError as the
    methods, or where one has no score on the data set.
    """
    recipe, (scored,) = trial.recipe, trial.scores
    stores = make_stores(recipe, out, num_eigenvectors=num_eigenvectors)
    plain, scores = to_dict(scored), []
    for name in trial.methods:
        method = METHODS[name]
        run = folder / "run" / method.part
        claim(recipe, run, features=stores.features, pairs=stores.pairs)
        found = _found(method, run)
        if found is None:
            found = job_of(method.job)(run, **method.options(recipe, trial.methods))
        values = {metric: found[f"{metric}{method.suffix}"] for metric in method.metrics}
        if None in values.values():
            raise UserError(f"{name} has no score on {recipe.data.name}: see {run}")
        scores.append(
            RunScore(
                values,
                found.get("num_scored", found["num_images"]),
                git_commit(),
                plain["data"],
                plain["evaluate"],
                method=name,
                score=score_key(scored),
                run=str(run.relative_to(folder)),
            )
        )
    return scores


def _found(method: Method, run: Path) -> dict[str, Any] | None:
    """What an earlier try came to; its page is written last."""
    if not (run / f"{method.page}.html").is_file():
        return None
    found = read_json(run / f"{method.page}.json")
    return found if all(f"{metric}{method.suffix}" in found for metric in method.metrics) else None
