"""A sweep: the trials of a space on Ray Tune, on feature stores that they share.

    SWEEP/sweep.json       the space, what was asked for, and every cell with its trial
    SWEEP/features/…       a store for each set of features
    SWEEP/scored/…         what the backbone made of the images that are scored
    SWEEP/spectral/…       eigenpairs and segments; see raynef.sweeps.spectral
    SWEEP/trials/…         a folder for each trial; see raynef.sweeps.trials
    SWEEP/tune/…           what Ray Tune writes, TensorBoard's files among it

What is done is found again by what it depends on: the same command goes on where it was
interrupted, and one that asks for more keeps what is there.
"""

import contextlib
import logging
import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.logger import TBXLoggerCallback
from ray.tune.schedulers import ASHAScheduler

from raynef.cluster.private import QUIET_TUNE, set_environment
from raynef.cluster.session import (
    TRAIN,
    gpus_for,
    nodes_for,
    ray_session,
    resources_of,
    threads_of_each,
)
from raynef.core.errors import UserError
from raynef.features.blocks import load_block_features
from raynef.images.datasets.registry import open_split
from raynef.io.files import read_json, without_infinity, write_json
from raynef.io.holds import locked
from raynef.io.log import LEAVES, logged
from raynef.jobs.extract import ensure_store
from raynef.jobs.train import cpus_needed
from raynef.jobs.views import fitting_backbone
from raynef.stores.run import environment
from raynef.sweeps.board import Board
from raynef.sweeps.catalog import with_crf
from raynef.sweeps.search import FixedTrials, OptunaTrials, Trials, drawn_points, state_of
from raynef.sweeps.space import BACKBONE, INCOMPARABLE, Search, Space
from raynef.sweeps.spectral import make_stores, require_truth, same_stores
from raynef.sweeps.sweep import TRAINED, DataSet, Plan, Target, Trial, plan
from raynef.sweeps.trials import Job, note_failure, run_trial, store_of

logger = logging.getLogger("raynef")

_RETRIES = 2  # of a trial that a lost worker, or a bug, ended
_OF_BACKBONE = {BACKBONE, "spectral.feature", "spectral.block", "spectral.stage"}
"""Axes along which some backbones or blocks may not do: each trial says so for itself."""


@dataclass(frozen=True)
class Options:
    """How a sweep runs, apart from what it finds.

    Attributes:
        max_concurrent: trials side by side; by default one for each GPU, or for each node.
        address: of a Ray cluster.
        mlflow: tracking address of MLflow, or None.
        wandb: project of Weights & Biases, or None.
    """

    max_concurrent: int | None = None
    address: str | None = None
    mlflow: str | None = None
    wandb: str | None = None


def sweep(
    space: Space,
    data: Sequence[DataSet],
    out: str | Path,
    *,
    targets: Sequence[Target] = (),
    seeds: Sequence[int] = (),
    options: Options | None = None,
) -> dict[str, Any]:
    """Run a sweep; the result of ``raynef tune``.

    Args:
        space: what is varied.
        data: where to train.
        out: folder of the sweep.
        targets: where to score, for spaces that name some.
        seeds: of each point; the space's if empty.
        options: see there.

    Returns:
        Counts of trials, the failed ones with their errors, and ``ok``: whether none failed.

    Raises:
        UserError: the user's mistake, named, before anything is trained.
    """
    options, out, seeds = options or Options(), Path(out).absolute(), tuple(seeds) or space.seeds
    data = [_opened(space, dataset) for dataset in data]
    space = _with_crf_columns(space, data, targets)
    for target in targets:
        open_split(target.data, target.data.val_split)
    _check_request(space, data, targets, seeds)
    callbacks = _loggers(options)

    def planned(points: Sequence[Mapping[str, Any]]) -> Plan:
        return plan(space, data, targets=targets, seeds=seeds, points=points)

    with _held(out):
        trials: Trials
        if space.search is not None and space.search.algorithm == "optuna":
            trials = OptunaTrials(space, planned, out, seed=seeds[0])
        else:
            trials = FixedTrials(planned(drawn_points(space, seed=seeds[0])), out)
        record = _record(space, data, targets, seeds)
        _write_record(out, record, trials.plan())
        _say_start(space, trials)
        if trials.num_left():
            needed = max(cpus_needed(recipe) for recipe in trials.recipes())
            with ray_session(options.address, min_cpus=needed):
                if space.is_spectral:
                    _make_spectral_stores(trials, out)
                else:
                    _make_features(trials, out)
                if trials.num_left():
                    _run(trials, space.search, out, options, callbacks)
        done = trials.plan()
        _write_record(out, record, done)
    return _result(done, out)


def _opened(space: Space, dataset: DataSet) -> DataSet:
    """With its number of classes; a wrong path is said here, before hours are spent."""
    recipe = dataset.recipe
    images = open_split(recipe.data, recipe.data.train_split)
    if space.is_spectral:
        require_truth(space.methods, images)
        if not {axis.key for axis in space.axes} & _OF_BACKBONE:
            load_block_features(recipe.backbone, recipe.spectral)
    else:
        fitting_backbone(recipe)
    return replace(dataset, num_classes=len(images.class_names) or None)


def _with_crf_columns(space: Space, data: Sequence[DataSet], targets: Sequence[Target]) -> Space:
    """The space with its metrics after the CRF beside them, where any score has one."""
    scored = [target.evaluate for target in targets] or [d.recipe.evaluate for d in data]
    on_axis = any(axis.key == "evaluate.crf" for axis in space.axes)
    if space.is_spectral or not (on_axis or any(evaluate.crf for evaluate in scored)):
        return space
    return replace(space, metrics=with_crf(space.metrics))


def _check_request(
    space: Space, data: Sequence[DataSet], targets: Sequence[Target], seeds: Sequence[int]
) -> None:
    names = [dataset.name for dataset in data]
    if not names:
        raise UserError("a sweep needs a data set: --recipe NAME --data.root DIR, or --roots")
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two data sets have the name {name}; give them folders of other names")
    if space.targets and not targets:
        raise UserError(
            f"{space.source} scores its runs on other data; name some, as in the paper: --targets "
            + " ".join(f"{name}=DIR" for name in space.targets)
        )
    if space.search is not None and (len(data) > 1 or len(seeds) > 1):
        raise UserError(
            f"{space.source} is a search: it takes one data set and one seed, got {len(data)} and "
            f"{len(seeds)}"
        )


@contextlib.contextmanager
def _held(out: Path) -> Iterator[None]:
    """Hold the sweep's folder, so that no other process may."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file, not a folder")
    known = {*LEAVES, "sweep.json", "features", "scored", "spectral", "trials", "tune"}
    if (
        out.is_dir()
        and not (out / "sweep.json").is_file()
        and {p.name for p in out.iterdir()} - known
    ):
        raise UserError(f"--out {out} is not empty and no sweep of raynef; give another folder")
    with locked(out, f"another live sweep holds {out}; wait for it"), logged(out):
        yield


def _say_start(space: Space, trials: Trials) -> None:
    total, left = trials.total(), trials.num_left()
    logger.info("%s: %d trials, %d of them done", space.title, total, total - left)
    if space.search is None:
        return
    what = space.search.metric
    logger.info(
        "%s search of %d points, scheduler %s, by %s",
        space.search.algorithm,
        space.search.num_samples,
        space.search.scheduler,
        "the objective, which sees no label" if what == "objective" else "validation mIoU",
    )
    misleading = [axis.key for axis in space.axes if axis.key in INCOMPARABLE]
    if what == "objective" and misleading:
        logger.warning(
            "the objective does not compare runs across %s: it is larger for the easier problem, "
            "such as a smaller K; set these in the recipe, or read the table by mIoU",
            ", ".join(misleading),
        )
    if what == "miou":
        logger.warning(
            "search.metric is miou: the LABELS of the validation split steer this search. What it "
            "finds is no longer unsupervised; score it on images that took no part"
        )


def _make_features(trials: Trials, out: Path) -> None:
    """Every store that a trial needs, once; trials whose features cannot be made have failed."""
    stores: dict[Path, str | None] = {}  # with the error of one that cannot be made
    for recipe in trials.recipes():
        if recipe.train.features == "streamed":
            continue
        path = store_of(out, recipe)
        if path not in stores:
            stores[path] = None
            try:
                fitting_backbone(recipe)
                ensure_store(recipe, open_split(recipe.data, recipe.data.train_split), path)
            except UserError as mistake:
                logger.error("features of %s: %s", recipe.backbone.name, mistake)
                stores[path] = str(mistake)
        error = stores[path]
        if error is not None:
            trials.give_up(recipe, error)


def _make_spectral_stores(trials: Trials, out: Path) -> None:
    """Likewise features and eigenpairs for the trials of a spectral space."""
    stores: dict[Hashable, str | None] = {}
    for recipe in trials.recipes():
        group = same_stores(recipe)
        if group not in stores:
            stores[group] = None
            try:
                make_stores(recipe, out, num_eigenvectors=_most_eigenvectors(trials))
            except UserError as mistake:
                logger.error("eigenpairs of %s: %s", recipe.backbone.name, mistake)
                stores[group] = str(mistake)
        error = stores[group]
        if error is not None:
            trials.give_up(recipe, error)


def _most_eigenvectors(trials: Trials) -> int:
    """Of all trials, done or not, so that a sweep that goes on finds its stores."""
    planned = trials.plan().trials
    return max((trial.recipe.spectral.num_eigenvectors for trial in planned), default=0)


def _run(
    trials: Trials,
    search: Search | None,
    out: Path,
    options: Options,
    callbacks: Sequence[tune.Callback],
) -> None:
    """Ray Tune over what is left."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are told below, once
    set_environment(QUIET_TUNE)
    recipes = trials.recipes()
    workers = max(recipe.train.num_workers for recipe in recipes)
    epochs = max(recipe.train.epochs for recipe in recipes)
    cpus = ray.cluster_resources().get("CPU", 1)
    gpus = gpus_for(TRAIN)
    concurrent = _concurrent(
        options.max_concurrent, workers, int(cpus), gpus, nodes=len(nodes_for(TRAIN))
    )
    threads = threads_of_each(concurrent)
    share = _gpu_share(concurrent if workers == 1 else 1, gpus)
    scheduler = _scheduler(search, epochs, workers)
    job = Job(
        out=out,
        resolve=trials.resolve,
        threads=threads,
        gpus=share,
        on_workers=workers > 1,
        rungs=_rungs(search, epochs) if search is not None and scheduler is not None else (),
        num_eigenvectors=_most_eigenvectors(trials),
    )
    alone = {"CPU": 1 if gpus else threads, "GPU": share, **resources_of(TRAIN)}
    resources = {"CPU": 0.01} if workers > 1 else alone
    board = Board(
        lambda config: trials.resolve(config).about,
        total=trials.total(),
        done=trials.total() - trials.num_left(),
        epochs=lambda config: _epochs(trials.resolve(config)),
        concurrent=concurrent,
    )
    session = f"{len(list((out / 'tune').glob('*'))) + 1:03d}" if (out / "tune").is_dir() else "001"
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(run_trial, job=job), resources),
        param_space=trials.param_space(),
        tune_config=tune.TuneConfig(
            num_samples=trials.num_samples(),
            search_alg=trials.searcher(),
            scheduler=scheduler,
            max_concurrent_trials=concurrent,
            reuse_actors=scheduler is None and workers == 1,
            trial_name_creator=lambda trial: trials.resolve(trial.config).name,
            trial_dirname_creator=lambda trial: trials.resolve(trial.config).name[-120:],
        ),
        run_config=tune.RunConfig(
            name=session,
            storage_path=str(out / "tune"),
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            callbacks=[board, *callbacks],
            verbose=0,
        ),
    )
    for result in tuner.fit():
        _note(result, trials, out, may_stop=scheduler is not None)


def _epochs(trial: Trial) -> int:
    """That a trial trains; 0 where it trains none."""
    return trial.recipe.train.epochs if trial.kind in TRAINED else 0


def _scheduler(search: Search | None, epochs: int, workers: int) -> ASHAScheduler | None:
    """What stops trials that lag behind; None trains all to the end."""
    if search is None or search.scheduler == "none":
        return None
    if search.metric == "miou" and workers > 1:
        raise UserError(
            "asha by miou looks at trials while they train, which needs train.num_workers = 1; "
            "set search.metric to objective, or search.scheduler to none"
        )
    return ASHAScheduler(
        time_attr="epoch",
        metric=search.metric,
        mode="max",
        max_t=max(epochs, search.grace_epochs),
        grace_period=search.grace_epochs,
        reduction_factor=search.reduction,
    )


def _note(result: Any, trials: Trials, out: Path, *, may_stop: bool) -> None:
    """Write down what became of a trial, where it could not do so itself."""
    if result.config is None:
        return
    folder = out / "trials" / trials.resolve(result.config).name
    if result.error is not None:
        note_failure(folder, _cause(result.error))
    elif not any((folder / name).is_file() for name in ("result.json", "error.json")):
        metrics = result.metrics or {}
        if may_stop and "epoch" in metrics:
            kept = ("epoch", "objective", "miou")
            write_json(folder / "stopped.json", {key: metrics.get(key) for key in kept})
        else:
            note_failure(folder, "it ended without a result; see log.txt in its run")


def _cause(error: BaseException) -> str:
    """The last exception in the traceback that Ray Tune makes a text of."""
    named = re.findall(r"^\s*([\w.]+(?:Error|Exception|Interrupt)\b.*)$", str(error), re.MULTILINE)
    return named[-1] if named else str(error).strip() or type(error).__name__


def _concurrent(wanted: int | None, workers: int, cpus: int, gpus: int, *, nodes: int) -> int:
    """Trials side by side: what was asked for, as far as the cluster holds it."""
    most = (gpus or cpus) // workers if workers > 1 else max(cpus, 1)
    if most < 1:
        raise UserError(
            f"a trial needs {workers} workers, but the cluster has {gpus or cpus} "
            f"{'GPUs' if gpus else 'CPUs'}; lower train.num_workers or add nodes"
        )
    concurrent = wanted or max(1, (gpus or nodes) // workers)
    if concurrent > most:
        logger.warning(
            "--max-concurrent %d is more than the cluster holds (%d CPUs, %d GPUs): %d trials at a "
            "time, the others wait",
            concurrent,
            cpus,
            gpus,
            most,
        )
    return min(concurrent, most)


def _gpu_share(concurrent: int, gpus: int) -> float:
    """Of a GPU, for each of the trials that run side by side."""
    return 1 / math.ceil(concurrent / gpus) if gpus else 0.0


def _rungs(search: Search, epochs: int) -> tuple[int, ...]:
    """Epochs after which asha compares trials by their mIoU; the objective is there at each."""
    if search.metric != "miou":
        return ()
    rungs, epoch = [], search.grace_epochs
    while epoch < epochs:
        rungs.append(epoch)
        epoch *= search.reduction
    return tuple(rungs)


def _loggers(options: Options) -> list[tune.Callback]:
    """TensorBoard's files always; others where they were asked for.

    Raises:
        UserError: a package is missing; the extra that brings it is named.
    """
    callbacks: list[tune.Callback] = [TBXLoggerCallback()]
    if options.mlflow is not None:
        _require("mlflow", "--mlflow")
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        callbacks.append(
            MLflowLoggerCallback(tracking_uri=options.mlflow, experiment_name="raynef")
        )
    if options.wandb is not None:
        _require("wandb", "--wandb")
        from ray.air.integrations.wandb import WandbLoggerCallback

        callbacks.append(WandbLoggerCallback(project=options.wandb))
    return callbacks


def _require(package: str, flag: str) -> None:
    try:
        __import__(package)
    except ImportError as error:
        raise UserError(
            f"{flag} needs the package {package}: pip install 'raynef[{package}]'"
        ) from error


def _record(
    space: Space, data: Sequence[DataSet], targets: Sequence[Target], seeds: Sequence[int]
) -> dict[str, Any]:
    """What was asked for, as ``raynef table`` reads it."""
    return {
        "space": space.plain(),
        "data": [
            {"name": d.name, "preset": d.recipe.data.name, "root": d.recipe.data.root} for d in data
        ],
        "targets": [{"name": t.name, "preset": t.data.name, "root": t.data.root} for t in targets],
        "seeds": list(seeds),
        "environment": environment(),
    }


def _write_record(out: Path, record: dict[str, Any], planned: Plan) -> None:
    write_json(out / "sweep.json", without_infinity({**record, **_cells(planned)}))


def _cells(planned: Plan) -> dict[str, Any]:
    return {
        "trials": [
            {"name": trial.name, "about": trial.about, "point": dict(trial.point)}
            for trial in planned.trials
        ],
        "cells": [
            {
                "where": dict(cell.where),
                "seed": cell.seed,
                "trial": cell.trial,
                "method": cell.method,
                "score": cell.score,
            }
            for cell in planned.cells
        ],
    }


def _result(planned: Plan, out: Path) -> dict[str, Any]:
    """What became of every trial."""
    failed, stopped, done = {}, [], 0
    for trial in planned.trials:
        state = state_of(out, trial)
        done += state == "done"
        if state == "failed":
            failed[trial.name] = read_json(out / "trials" / trial.name / "error.json")["error"]
        elif state == "stopped":
            stopped.append(trial.name)
    for name, error in failed.items():
        logger.error("failed: %s: %s", name, error)
    return {
        "sweep": str(out),
        "trials": len(planned.trials),
        "done": done,
        "stopped": stopped,
        "failed": failed,
        "ok": not failed,
    }
