"""Baselines: K-means on backbone or ψ features, and the supervised linear probe.

Each makes a run's folder, with a segmenter that predicts, saves and loads like the neural one.
"""

import logging
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raynef.assign.kmeans import find_centroids, moved
from raynef.cluster.session import ray_session
from raynef.config.recipe import KMeans, Probe, Recipe, check
from raynef.core.errors import UserError
from raynef.eigen.psi import Psi
from raynef.jobs.extract import ensure_store
from raynef.jobs.patches import Source, count_members, load_psi, sample_patches
from raynef.jobs.product import finish
from raynef.jobs.views import fitting_backbone, view_side
from raynef.models.heads import LinearHead, from_centroids, trunk_of
from raynef.models.probe import fit_probe
from raynef.models.segmenter import Mapping, segmenter_folder
from raynef.stores.inputs import begin, found_again, training_images
from raynef.stores.run import RunFolder, hold

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
    return _make(_Job("kmeans", recipe), out, address)


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
    job = _Job("kmeans-psi", replace(recipe, kmeans=settings or recipe.kmeans), Path(run))
    return _make(job, Path(run) / job.kind if out is None else out, address)


def probe(recipe: Recipe, out: str | Path, *, address: str | None = None) -> Result:
    """A linear probe of the backbone's last features, trained on LABELS: a diagnostic.

    The result of ``raynef baseline probe``.
    """
    return _make(_Job("probe", recipe), out, address)


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
    job = _Job("probe-psi", replace(recipe, probe=settings or recipe.probe), Path(run))
    return _make(job, Path(run) / job.kind if out is None else out, address)


@dataclass(frozen=True)
class _Job:
    """What to make: its kind, the recipe, and the trained run that it builds upon, if any."""

    kind: str
    recipe: Recipe
    trained: Path | None = None

    @property
    def supervised(self) -> bool:
        """Whether it is trained on labels."""
        return self.kind in ("probe", "probe-psi")

    def trunk(self) -> Psi | None:
        """ψ that it builds upon, without its head."""
        return trunk_of(load_psi(self.trained)) if self.trained else None


def _trained(run: str | Path) -> Recipe:
    """The recipe of a finished run of ψ."""
    folder = RunFolder(Path(run))
    if folder.record().kind != "ours" or folder.finished() is None:
        raise UserError(f"{run} is no finished run of raynef train, whose ψ this builds upon")
    return folder.recipe()


def _make(job: _Job, out: str | Path, address: str | None) -> Result:
    """Hold the folder, provide features, fit, save."""
    recipe = check(job.recipe)
    trained = RunFolder(job.trained.absolute()) if job.trained else None
    with hold(out, recipe, kind=job.kind) as run:
        finished = run.finished()
        if finished is not None:
            return found_again(run, recipe, finished)
        images = training_images(run, recipe)
        grid = view_side(recipe) // fitting_backbone(recipe).patch_size
        labels = None
        if job.supervised:
            from raynef.jobs.labels import patch_labels  # K-means never imports what opens labels

            labels = patch_labels(images, recipe.data, grid=grid)
        begin(run, recipe, images, kind=job.kind)
        started = time.monotonic()
        with ray_session(address):
            store = ensure_store(recipe, images, recipe.train.store or (trained or run).store)
            trunk = segmenter_folder(job.trained).absolute() if job.trained else None
            source = Source(store, trunk, precision=recipe.train.precision)
            if labels is not None:
                labels.check(store.images())
                head, said = _probe(job, source, labels)
            else:
                head, said = _kmeans(job, source)
        # Of ψ, itself or where it started from.
        upon = trained.finished() if trained else None
        names = images.class_names
        result = {
            "kind": job.kind,
            "trained": str(trained.path) if trained else None,
            **said,
            "num_images": len(store.images()),
            "supervised": job.supervised,
            "labels_leaked": bool(upon and upon["labels_leaked"]),
            "skipped": store.skipped,
            "seconds": round(time.monotonic() - started, 2),
        }
        mapping = Mapping(tuple(range(len(names))), names) if job.supervised else None
        return finish(run, recipe, head, result, mapping=mapping)


def _kmeans(job: _Job, source: Source) -> tuple[LinearHead, dict[str, Any]]:
    """A head, and what is to be said of it."""
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
    head = from_centroids(torch.from_numpy(centroids), trunk=job.trunk(), cosine=config.cosine)
    return head, {
        "num_clusters": len(centroids),
        "points": len(sample.rows),
        "points_of": sample.num_patches,
        "iterations": config.iterations,
        "cosine": config.cosine,
        "empty_clusters": int((found.counts == 0).sum()),
        "inertia": found.inertia / max(1, int(found.counts.sum())),
    }


def _probe(job: _Job, source: Source, labels: "PatchLabels") -> tuple[LinearHead, dict[str, Any]]:
    """A head, and what is to be said of it."""
    config, seed = job.recipe.probe, job.recipe.train.seed
    sample = sample_patches(
        source, max_points=config.max_points, seed=seed, labels=labels, job="sample"
    )
    logger.info("probe, trained on LABELS: %d of %d patches", len(sample.rows), sample.num_patches)
    if sample.shares is None or not sample.shares.any():
        raise UserError(f"not one labeled patch under {job.recipe.data.root}")
    linear = fit_probe(sample.rows, sample.shares, config, seed=seed)
    head = LinearHead(linear.in_features, linear.out_features, trunk=job.trunk())
    head.head.load_state_dict(linear.state_dict())
    return head, {
        "num_clusters": linear.out_features,
        "points": len(sample.rows),
        "points_of": sample.num_patches,
        "epochs": config.epochs,
    }
