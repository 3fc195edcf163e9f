"""Training, the driver's side: on workers of Ray Train, or in this process alone."""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raynef.cluster.devices import device_here
from raynef.cluster.events import told_to
from raynef.cluster.fit import Spread, fit
from raynef.cluster.place import in_this_process
from raynef.cluster.process_worker import EpochHook
from raynef.cluster.session import ray_session, worker_gpu_share
from raynef.config.recipe import Recipe, check
from raynef.core.errors import UserError
from raynef.features.backbone import NUM_TAPS
from raynef.graph.knn import require_search
from raynef.images.datasets.imageset import ImageSet
from raynef.io.checkpoints import has_checkpoint
from raynef.io.files import write_text
from raynef.io.loggers.choice import NOWHERE, Loggers
from raynef.jobs.baseline import Inputs
from raynef.jobs.batches import StoredViews, StreamedViews, plan, usable_batch_size
from raynef.jobs.clusters import with_clusters
from raynef.jobs.epochs import TERMS, epoch_summary
from raynef.jobs.extract import ensure_store, scan
from raynef.jobs.kmeans import kmeans_head
from raynef.jobs.loop import Training, train_loop
from raynef.jobs.product import finish, save_segmenter
from raynef.jobs.progress_reporter import ProgressReporter
from raynef.jobs.spent import FEATURES, RAY, START, TEACHERS, Spent
from raynef.jobs.teachers import teachers_of
from raynef.jobs.training_log import complete_log, training_log
from raynef.jobs.warm import start_from, starting_weights
from raynef.models.heads import first_outputs
from raynef.models.training import build_psi
from raynef.stores.inputs import begin, found_again, training_images
from raynef.stores.run import RunFolder, hold
from raynef.work.patches import Source, views_of_patches
from raynef.work.units import describe_skipped
from raynef.work.views import fitting_backbone, view_side

if TYPE_CHECKING:
    from raynef.cluster.fit import TrainCallback
    from raynef.work.labels import PatchLabels

logger = logging.getLogger("raynef")


def train(
    recipe: Recipe,
    out: str | Path,
    *,
    init_from: str | Path | None = None,
    address: str | None = None,
    on_epoch: EpochHook | None = None,
    callbacks: "Sequence[TrainCallback]" = (),
    logged_by: Loggers = NOWHERE,
    since: float | None = None,
) -> dict[str, Any]:
    """Train a segmenter without labels; the result of ``raynef train``.

    The same command on the same folder goes on where it was interrupted, and returns the result
    where training is done, with ``input_changed`` where the images are others by now. With more
    epochs it goes on from the last checkpoint, on the schedule of the new length; the result of the
    fewer is kept in RUN/before. No label file is opened.

    Args:
        recipe: what to train.
        out: folder of the run.
        init_from: a run, or a segmenter, whose ψ it starts from; None: from weights by its seed.
        address: of a Ray cluster.
        on_epoch: hears of every epoch of a training within ``this_process()``.
        callbacks: of Ray Train, for a training on workers.
        logged_by: loggers that hear of every epoch; of a finished run, what they lack.
        since: when the command began, by ``time.monotonic``, for ``seconds_by_part``.

    Raises:
        UserError: the user's mistake, named.
        NonFiniteLossError: with step and rank.
    """
    spent = Spent(since)
    recipe = with_clusters(check(recipe), out, like=init_from)
    with hold(out, recipe) as run:
        finished = run.finished()
        if finished is not None and finished["epochs"] >= recipe.train.epochs:
            start_from(run, recipe, None, init_from)
            found = found_again(run, recipe, finished)
            complete_log(run, recipe, logged_by)
            return found
        # Before the folder is bound to the recipe, and before Ray starts: a mistake costs seconds.
        images = training_images(run, recipe)
        backbone = fitting_backbone(recipe)
        labels = _leaking_labels(recipe, images, backbone.patch_size)
        started_from = start_from(run, recipe, backbone, init_from)
        if finished is not None:
            _lengthen(run, finished["epochs"], recipe.train.epochs)
        begin(run, recipe, images, started_from=started_from)
        logger.info("%d training images under %s", len(images.files), images.root)
        small = _alone(recipe, images)
        cpus = cpus_needed(recipe)
        spent.until_here(START)
        with ray_session(address, min_cpus=cpus, images=small, network_bound=True, on_gpu=True):
            spent.until_here(RAY)
            return _train(
                recipe,
                run,
                images,
                labels,
                NUM_TAPS * backbone.dim,
                spent,
                on_epoch=on_epoch,
                callbacks=callbacks,
                logged_by=logged_by,
            )


def _alone(recipe: Recipe, images: ImageSet) -> int | None:
    """How many images one process would train on; None where workers are to share them."""
    return None if recipe.train.num_workers > 1 else len(images.files)


def _lengthen(run: RunFolder, before: int, epochs: int) -> None:
    """Make a finished run one to go on with. Raises UserError: it has no checkpoint to go on from.

    The run is not finished any more; what it made is kept in RUN/before.
    """
    if not has_checkpoint(run.checkpoints):
        raise UserError(
            f"{run.path} was trained for {before} epochs and has no checkpoint to go on from to "
            f"{epochs}; start another run from its weights: --init-from {run.path} --out NEW"
        )
    logger.info("train: going on from %d epochs to %d", before, epochs)
    run.set_aside_result(str(before))


def _leaking_labels(recipe: Recipe, images: ImageSet, patch_size: int) -> "PatchLabels | None":
    """The labels that train.leak_labels lets in, loudly; None without it: no label is opened."""
    if not recipe.train.leak_labels:
        return None
    from raynef.work.labels import patch_labels

    logger.warning(
        "train.leak_labels: ψ is trained on LABELS too. This is for comparison with the published "
        "code only; the run is marked"
    )
    return patch_labels(images, recipe.data, grid=view_side(recipe) // patch_size)


def cpus_needed(recipe: Recipe) -> int:
    """Logical CPUs without which the job would wait for itself: a worker takes one, and a streamed
    worker one more for its feature actor and one for its tasks; extraction takes two."""
    per_worker = 1 if recipe.train.features == "stored" else 3
    return max(2, per_worker * recipe.train.num_workers + 1)


def _train(
    recipe: Recipe,
    run: RunFolder,
    images: ImageSet,
    labels: "PatchLabels | None",
    in_dim: int,
    spent: Spent,
    *,
    on_epoch: EpochHook | None,
    callbacks: "Sequence[TrainCallback]",
    logged_by: Loggers,
) -> dict[str, Any]:
    if in_this_process() and recipe.eigen.objective == "eigenfunctions":
        require_search(recipe.graph.search, device_here())  # before features are made
    if recipe.train.features == "stored":
        store = ensure_store(recipe, images, recipe.train.store or run.store)
        indices, skipped = store.images(), store.skipped
        spent.until_here(FEATURES)
        source = StoredViews(store.folder.absolute())
        teachers = teachers_of(recipe, store, run.path)
        spent.until_here(TEACHERS)
    else:
        indices, skipped = scan(recipe.data, images)
        spent.until_here(FEATURES)
        source, teachers = StreamedViews(images, indices), None
    if len(indices) < recipe.train.num_workers:
        raise UserError(
            f"{len(indices)} usable images cannot be shared by {recipe.train.num_workers} workers; "
            "lower train.num_workers"
        )
    if len(indices) < recipe.train.batch_size:
        logger.warning(
            "only %d usable images: the global batch holds them all, not train.batch_size = %d",
            len(indices),
            recipe.train.batch_size,
        )
    if labels is not None:
        labels.check(indices)
    recipe = _long_enough(recipe, len(plan(recipe, indices, 0)))
    train = recipe.train
    training = Training(
        recipe,
        source,
        in_dim=in_dim,
        batch_size=usable_batch_size(recipe, len(indices)),
        num_steps=train.epochs * len(plan(recipe, indices, 0)),
        lengths=run.record().lengths or [train.epochs],
        start=starting_weights(run),
        labels=labels,
        teachers=teachers,
    )
    threads = max(1, (os.cpu_count() or 1) // train.num_workers)
    progress = ProgressReporter("train", training.num_steps, training.batch_size)
    with training_log(run, recipe, logged_by) as log:
        state = fit(
            train_loop,
            {"training": training, "threads": threads},
            run.path,
            tell=told_to(progress.hear, spent.hear, log.hear),
            spread=Spread(
                workers=train.num_workers,
                gpu_share=worker_gpu_share(streams=train.features == "streamed"),
                max_failures=train.max_failures,
                field="train.num_workers",
            ),
            on_epoch=on_epoch,
            callbacks=callbacks,
        )
        spent.trained()
        result = _finish(recipe, run, images, state, skipped, spent)
        log.finish(result, images)
    return result


def _long_enough(recipe: Recipe, steps_per_epoch: int) -> Recipe:
    """The recipe with the epochs that ``train.min_steps`` asks for, where it has fewer."""
    train = recipe.train
    needed = -(-train.min_steps // max(1, steps_per_epoch))
    if needed <= train.epochs:
        return recipe
    logger.info("train: %d epochs, for at least %d steps", needed, train.min_steps)
    return replace(recipe, train=replace(train, epochs=needed))


def _finish(
    recipe: Recipe,
    run: RunFolder,
    images: ImageSet,
    state: dict[str, Any],
    skipped: dict[str, str],
    spent: Spent,
) -> dict[str, Any]:
    """Save the segmenter, with the head that ``eigen.head`` names, the steps and the result.

    Raises:
        UserError: no step had a patch to train on.
    """
    history: list[dict[str, Any]] = state["history"]
    if not any(step["patches"] for step in history):
        raise UserError(
            f"not one training crop holds a whole patch: the images under {images.root} are "
            "smaller than a patch of the backbone; raise data.short_side or data.scale"
        )
    started_from = run.record().started_from
    leaked = recipe.train.leak_labels or bool(started_from and started_from.labels_leaked)
    psi = build_psi(recipe, state["in_dim"])
    psi.load_state_dict(state["trainer"]["psi"])
    last = epoch_summary(recipe, history)
    write_text(run.steps_file, "".join(json.dumps(step) + "\n" for step in history))
    if skipped:
        logger.warning("%s", describe_skipped(skipped))
    result = {
        "objective": {name: value for name, value in last.items() if name in TERMS},
        "images_per_second": round(state["images_done"] / max(state["seconds"], 1e-9), 2),
        "epochs": recipe.train.epochs,
        "steps": len(history),
        "empty_steps": sum(1 for step in history if not step["patches"]),
        "num_images": len(images.files) - len(skipped),
        "num_workers": recipe.train.num_workers,
        "seconds": round(state["seconds"], 2),
        "precision": state["precision"],
        "step_seconds": {
            part: round(seconds / max(1, len(history)), 4)
            for part, seconds in state["split"].items()
        },
        "labels_leaked": leaked,
        **({"init_from": started_from.run} if started_from else {}),
        **({"lengths": state["lengths"]} if len(state["lengths"]) > 1 else {}),
        "skipped": skipped,
    }
    split = result["step_seconds"]
    logger.info(
        "train: of a step's %.2f s (ψ in %s), %s",
        sum(split.values()),
        state["precision"],
        ", ".join(f"{part} {seconds:.2f}" for part, seconds in split.items()),
    )
    own = first_outputs(psi, recipe.eigen.num_eigenfunctions)
    if recipe.eigen.head == "trained":
        store = None
        if recipe.train.features == "stored":
            store = ensure_store(recipe, images, recipe.train.store or run.store)
        return finish(run, recipe, own, result, store=store, spent=spent)
    # ψ goes first into the run's segmenter, where the actors of K-means find it.
    save_segmenter(run, recipe, own, labels_leaked=leaked)
    store = ensure_store(recipe, images, recipe.train.store or run.store)
    trunk, views = run.segmenter.absolute(), views_of_patches(recipe.data)
    source = Source(store, trunk, views=views, precision=recipe.train.precision)
    head, said = kmeans_head(Inputs(recipe, source))
    return finish(run, recipe, head, {**result, "head": said}, store=store, spent=spent)
