"""A sweep: the trials of a space on Ray Tune, on feature stores that they share.

    SWEEP/sweep.json       the space, what was asked for, and every cell with its trial
    SWEEP/features/…       a store for each set of features
    SWEEP/scored/…         what the backbone made of the images that are scored
    SWEEP/spectral/…       eigenpairs and segments; see raynef.sweeps.shared
    SWEEP/trials/…         a folder for each trial; see raynef.sweeps.trials
    SWEEP/tune/…           what Ray Tune writes, TensorBoard's files among it

What is done is found again by what it depends on: the same command goes on where it was
interrupted, and one that asks for more keeps what is there.
"""

import importlib
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from raynef.images.datasets.registry import open_split
from raynef.jobs.train import cpus_needed
from raynef.sweeps.board import Board
from raynef.sweeps.request import check_request, held, opened, say_start, with_crf_columns
from raynef.sweeps.search import FixedTrials, OptunaTrials, Trials, drawn_points
from raynef.sweeps.shared import make_shared, most_eigenvectors
from raynef.sweeps.space import Search, Space
from raynef.sweeps.state import folder_of, note_failure, note_stopped, state_of
from raynef.sweeps.sweep import DataSet, Plan, Target, plan
from raynef.sweeps.sweep_folder import record_of
from raynef.sweeps.trials import Job, run_trial

logger = logging.getLogger("raynef")

_RETRIES = 2  # of a trial that a lost worker, or a bug, ended


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
    """Run a sweep of a space in the folder ``out``; the result of ``raynef tune``.

    Args:
        space: what is varied.
        data: where to train.
        out: folder of the sweep.
        targets: where to score, for spaces that name some.
        seeds: of each point; the space's if empty.
        options: how it runs.

    Returns:
        Counts of trials, the failed ones with their errors, and ``ok``: whether none failed.

    Raises:
        UserError: the user's mistake, named, before anything is trained.
    """
    options, out, seeds = options or Options(), Path(out).absolute(), tuple(seeds) or space.seeds
    data = [opened(space, dataset) for dataset in data]
    space = with_crf_columns(space, data, targets)
    for target in targets:
        open_split(target.data, target.data.val_split)
    check_request(space, data, targets, seeds)
    callbacks = _loggers(options)

    def planned(points: Sequence[Mapping[str, Any]]) -> Plan:
        return plan(space, data, targets=targets, seeds=seeds, points=points)

    with held(out):
        if space.search is not None and space.search.algorithm == "optuna":
            trials: Trials = OptunaTrials(space, planned, out, seed=seeds[0])
        else:
            trials = FixedTrials(planned(drawn_points(space, seed=seeds[0])), out)
        record = record_of(space, data, targets, seeds)
        record.write(out, trials.plan())
        say_start(space, trials.total(), trials.num_left())
        if trials.num_left():
            needed = max(cpus_needed(recipe) for recipe in trials.recipes())
            with ray_session(options.address, min_cpus=needed):
                make_shared(trials, out, spectral=space.is_spectral)
                if trials.num_left():
                    _run(trials, space.search, out, options, callbacks)
        done = trials.plan()
        record.write(out, done)
    return _result(done, out)


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
    cpus, gpus = int(ray.cluster_resources().get("CPU", 1)), gpus_for(TRAIN)
    nodes = len(nodes_for(TRAIN))
    concurrent = _concurrent(options.max_concurrent, workers, cpus, gpus, nodes=nodes)
    threads = threads_of_each(concurrent)
    share = _gpu_share(concurrent if workers == 1 else 1, gpus)
    scheduler = _scheduler(search, epochs, workers)
    job = Job(
        out=out,
        resolve=trials.resolve,
        threads=threads,
        gpus=share,
        on_workers=workers > 1,
        metric=None if search is None else search.metric,
        rungs=_rungs(search, epochs) if search is not None and scheduler is not None else (),
        num_eigenvectors=most_eigenvectors(trials),
    )
    alone = {"CPU": 1 if gpus else threads, "GPU": share, **resources_of(TRAIN)}
    resources = {"CPU": 0.01} if workers > 1 else alone
    done = trials.total() - trials.num_left()
    board = Board(trials.resolve, total=trials.total(), done=done, concurrent=concurrent)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(run_trial, job=job), resources),
        param_space=trials.param_space(),
        tune_config=tune.TuneConfig(
            **trials.search_options(),
            scheduler=scheduler,
            max_concurrent_trials=concurrent,
            reuse_actors=scheduler is None and workers == 1,
            trial_name_creator=lambda trial: trials.resolve(trial.config).name,
            trial_dirname_creator=lambda trial: trials.resolve(trial.config).name[-120:],
        ),
        run_config=tune.RunConfig(
            name=f"{len(list((out / 'tune').glob('*'))) + 1:03d}",  # a session
            storage_path=str(out / "tune"),
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            callbacks=[board, *callbacks],
            verbose=0,
        ),
    )
    for result in tuner.fit():
        _note(result, trials, out, may_stop=scheduler is not None)


def _scheduler(search: Search | None, epochs: int, workers: int) -> ASHAScheduler | None:
    """What stops trials that lag behind; None trains all to the end."""
    if search is None or search.scheduler == "none":
        return None
    if search.metric != "objective" and workers > 1:
        raise UserError(
            f"asha by {search.metric} looks at trials while they train, which needs "
            "train.num_workers = 1; set search.metric to objective, or search.scheduler to none"
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
    folder = folder_of(out, trials.resolve(result.config).name)
    if result.error is not None:
        note_failure(folder, _cause(result.error))
    elif not any((folder / name).is_file() for name in ("result.json", "error.json")):
        metrics = result.metrics or {}
        if may_stop and "epoch" in metrics:
            note_stopped(folder, metrics)
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
            f"--max-concurrent {concurrent} is more than the cluster holds ({cpus} CPUs, {gpus} "
            f"GPUs): {most} trials at a time, the others wait"
        )
    return min(concurrent, most)


def _gpu_share(concurrent: int, gpus: int) -> float:
    """Of a GPU, for each of the trials that run side by side."""
    return 1 / math.ceil(concurrent / gpus) if gpus else 0.0


def _rungs(search: Search, epochs: int) -> tuple[int, ...]:
    """Epochs after which asha compares trials by what takes images to find; the objective is there
    at each."""
    if search.metric == "objective":
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
        logs = _integration("mlflow").MLflowLoggerCallback
        callbacks.append(logs(tracking_uri=options.mlflow, experiment_name="raynef"))
    if options.wandb is not None:
        callbacks.append(_integration("wandb").WandbLoggerCallback(project=options.wandb))
    return callbacks


def _integration(package: str) -> Any:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"--{package} needs the package {package}: pip install 'raynef[{package}]'"
        ) from error
    return importlib.import_module(f"ray.air.integrations.{package}")


def _result(planned: Plan, out: Path) -> dict[str, Any]:
    """What became of every trial."""
    states = {trial.name: state_of(out, trial) for trial in planned.trials}
    failed = {name: state.error for name, state in states.items() if state.state == "failed"}
    for name, error in failed.items():
        logger.error("failed: %s: %s", name, error)
    return {
        "sweep": str(out),
        "trials": len(states),
        "done": sum(state.state == "done" for state in states.values()),
        "stopped": [name for name, state in states.items() if state.state == "stopped"],
        "failed": failed,
        "ok": not failed,
    }
