"""Baselines: K-means on backbone or ψ features, and the supervised linear probe.

Each makes a run's folder, with a segmenter that predicts, saves and loads like the neural one.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raynef.assign.kmeans import find_centroids, moved
from raynef.cluster.session import ray_session
from raynef.config.recipe import KMeans, Probe, Recipe, check
from raynef.core.errors import UserError
from raynef.eigen.psi import Psi
from raynef.features.backbone import load_backbone
from raynef.images.datasets.imageset import ImageSet
from raynef.images.datasets.registry import open_split
from raynef.io.files import write_json
from raynef.jobs.extract import ensure_store
from raynef.jobs.patches import Source, count_members, load_psi, sample_patches
from raynef.jobs.views import fitting_backbone, view_side
from raynef.models.heads import LinearHead, from_centroids, trunk_of
from raynef.models.probe import fit_probe
from raynef.models.segmenter import Mapping, Segmenter, segmenter_folder
from raynef.stores.inputs import found_again, note_input, require_same_input
from raynef.stores.run import RunFolder, bind, hold

if TYPE_CHECKING:
    from raynef.jobs.labels import PatchLabels

logger = logging.getLogger("raynef")

Result = dict[str, Any]


def kmeans(recipe: Recipe, out: str | Path, *, address: str | None = None) -> Result:
    """K-means on the backbone's last features; the result of ``raynef baseline kmeans``.

    The centers are found on patches drawn uniformly from all stored views of the training images,
    at most ``kmeans.max_points``, and moved once more to the means of all patches.

    Raises:
        UserError: the user's mistake, named.
    """
    return _make(_Job("kmeans", recipe, None), out, _kmeans, address)


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
    recipe = _trained(run)
    recipe = replace(recipe, kmeans=settings or recipe.kmeans)
    return _make(_Job("kmeans-psi", recipe, Path(run)), _beside(run, out), _kmeans, address)


def probe(recipe: Recipe, out: str | Path, *, address: str | None = None) -> Result:
    """A linear probe of the backbone's last features, trained on LABELS: a diagnostic.

    The result of ``raynef baseline probe``.
    """
    return _make(_Job("probe", recipe, None), out, _probe, address)


def probe_psi(
    run: str | Path,
    out: str | Path | None = None,
    *,
    settings: Probe | None = None,
    address: str | None = None,
) -> Result:
    """A linear probe of ψ's features before its head, trained on LABELS: a diagnostic.

    ψ is not touched: no gradient reaches it. Arguments as of ``kmeans_psi``.
    """
    recipe = _trained(run)
    recipe = replace(recipe, probe=settings or recipe.probe)
    return _make(
        _Job("probe-psi", recipe, Path(run)), _beside(run, out, "probe-psi"), _probe, address
    )


@dataclass(frozen=True)
class _Job:
    """What to make: its kind, the recipe, and the trained run that it builds upon, if any."""

    kind: str
    recipe: Recipe
    trained: Path | None

    @property
    def supervised(self) -> bool:
        """Whether it is trained on labels."""
        return self.kind in ("probe", "probe-psi")


@dataclass(frozen=True)
class _Fitted:
    """A head, and what is to be said of it."""

    head: LinearHead
    said: dict[str, Any]


def _trained(run: str | Path) -> Recipe:
    """The recipe of a finished run of ψ."""
    folder = RunFolder(Path(run))
    if folder.record().kind != "ours" or folder.finished() is None:
        raise UserError(f"{run} is no finished run of raynef train, whose ψ this builds upon")
    return folder.recipe()


def _beside(run: str | Path, out: str | Path | None, name: str = "kmeans-psi") -> Path:
    return Path(out) if out is not None else Path(run) / name


def _make(
    job: _Job,
    out: str | Path,
    fit: Callable[[_Job, Source, "PatchLabels | None"], _Fitted],
    address: str | None,
) -> Result:
    """Hold the folder, provide features, fit, save."""
    recipe = check(job.recipe)
    with hold(out, recipe, kind=job.kind) as run:
        finished = run.finished()
        if finished is not None:
            return found_again(run, recipe, finished)
        images = open_split(recipe.data, recipe.data.train_split)
        require_same_input(run, recipe, images)
        grid = view_side(recipe) // fitting_backbone(recipe).patch_size
        labels = _labels(images, recipe, grid) if job.supervised else None
        bind(run, recipe, kind=job.kind)
        note_input(run, images)
        started = time.monotonic()
        home = RunFolder(job.trained.absolute()) if job.trained else run
        with ray_session(address):
            store = ensure_store(recipe, images, recipe.train.store or home.store)
            trunk = segmenter_folder(job.trained).absolute() if job.trained else None
            if labels is not None:
                from raynef.jobs.labels import check_labels

                check_labels(labels, store.images())
            fitted = fit(job, Source(store, trunk, precision=recipe.train.precision), labels)
        leaked = _saw_labels(job)
        Segmenter(
            load_backbone(recipe.backbone),
            fitted.head,
            backbone_config=recipe.backbone,
            short_side=recipe.evaluate.short_side,
            mapping=_identity(images.class_names) if job.supervised else None,
            supervised=job.supervised,
            labels_leaked=leaked,
        ).save(run.segmenter)
        result = {
            "run": str(run.path),
            "kind": job.kind,
            "trained": str(job.trained.absolute()) if job.trained else None,
            **fitted.said,
            "num_images": len(store.images()),
            "supervised": job.supervised,
            "labels_leaked": leaked,
            "skipped": store.skipped,
            "seconds": round(time.monotonic() - started, 2),
        }
        write_json(run.train_file, result)
        return result


def _saw_labels(job: _Job) -> bool:
    """Whether the ψ that it builds upon was trained on labels, itself or where it started from."""
    finished = RunFolder(job.trained).finished() if job.trained else None
    return bool(finished and finished["labels_leaked"])


def _labels(images: ImageSet, recipe: Recipe, grid: int) -> "PatchLabels":
    """Of a probe; K-means does not even import what opens labels."""
    from raynef.jobs.labels import patch_labels

    return patch_labels(images, recipe.data, grid=grid)


def _kmeans(job: _Job, source: Source, labels: "PatchLabels | None") -> _Fitted:
    assert labels is None
    config, seed = job.recipe.kmeans, job.recipe.train.seed
    source = replace(source, cosine=config.cosine)
    sample = sample_patches(source, max_points=config.max_points, seed=seed, job="sample")
    logger.info("K-means on %d of %d patches", len(sample.rows), sample.num_patches)
    centroids = find_centroids(
        sample.rows,
        job.recipe.eigen.num_eigenfunctions,
        iterations=config.iterations,
        seed=seed,
        cosine=config.cosine,
        threads=os.cpu_count() or 1,
    )
    found = count_members(source, centroids, job="means")
    centroids = moved(centroids, found, cosine=config.cosine)
    head = from_centroids(torch.from_numpy(centroids), trunk=_trunk(job), cosine=config.cosine)
    said = {
        "num_clusters": len(centroids),
        "points": len(sample.rows),
        "points_of": sample.num_patches,
        "iterations": config.iterations,
        "cosine": config.cosine,
        "empty_clusters": int((found.counts == 0).sum()),
        "inertia": found.inertia / max(1, int(found.counts.sum())),
    }
    return _Fitted(head, said)


def _probe(job: _Job, source: Source, labels: "PatchLabels | None") -> _Fitted:
    config, seed = job.recipe.probe, job.recipe.train.seed
    sample = sample_patches(
        source, max_points=config.max_points, seed=seed, labels=labels, job="sample"
    )
    logger.info("probe, trained on LABELS: %d of %d patches", len(sample.rows), sample.num_patches)
    if sample.shares is None or not sample.shares.any():
        raise UserError(f"not one labeled patch under {job.recipe.data.root}")
    linear = fit_probe(sample.rows, sample.shares, config, seed=seed)
    head = LinearHead(linear.in_features, linear.out_features, trunk=_trunk(job))
    head.head.load_state_dict(linear.state_dict())
    said = {
        "num_clusters": linear.out_features,
        "points": len(sample.rows),
        "points_of": sample.num_patches,
        "epochs": config.epochs,
    }
    return _Fitted(head, said)


def _trunk(job: _Job) -> Psi | None:
    return trunk_of(load_psi(job.trained)) if job.trained else None


def _identity(class_names: tuple[str, ...]) -> Mapping:
    return Mapping(tuple(range(len(class_names))), class_names)
