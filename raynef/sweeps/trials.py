"""A trial of a sweep: what runs in one Ray Tune trial.

    SWEEP/trials/NAME/trial.json     what it is, and the values of the axes
    SWEEP/trials/NAME/run/           the run, as ``raynef train`` or a baseline makes it; a spectral
                                     trial has a folder for each job there
    SWEEP/trials/NAME/result.json    its scores: present when it is done
    SWEEP/trials/NAME/error.json     why it failed, and how often it was tried

A training that fits one process runs inside the trial, with what the trial has reserved. One that
needs several workers holds next to nothing itself: Ray Train reserves its workers all at once, and
what follows is one task. So no trial waits while it holds what another one waits for.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
import torch
from filelock import FileLock
from ray import tune
from ray.tune.integration.ray_train import TuneReportCallback

from raynef.cluster.session import this_process
from raynef.cluster.workers import EpochHook
from raynef.config.objective import share_of_bound
from raynef.config.recipe import Recipe, fingerprint, to_dict
from raynef.core.errors import BadImageError, NonFiniteLossError, UserError
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.images.datasets.registry import open_split
from raynef.io.files import read_json, without_infinity, write_json
from raynef.io.holds import LOCK
from raynef.jobs.counting import count
from raynef.jobs.results import class_names, name_and_score
from raynef.models.segmenter import Segmenter
from raynef.models.training import Trainer, build_psi
from raynef.stores.features import store_key
from raynef.stores.run import RunFolder, git_commit
from raynef.sweeps.catalog import METRICS
from raynef.sweeps.methods import make, score
from raynef.sweeps.spectral import spectral_scores
from raynef.sweeps.sweep import TRAINED, Trial, score_key

logger = logging.getLogger("raynef")

_HELD_S = 60.0  # a dead driver's trial may live on for a moment
FINAL = (UserError, BadImageError, NonFiniteLossError)
"""Failures that another try would repeat."""


@dataclass(frozen=True)
class Job:
    """What all trials of a sweep share.

    Attributes:
        out: folder of the sweep.
        resolve: from the configuration that Ray Tune gives to the trial that it means.
        threads: of torch, in a trial of one process.
        gpus: that a trial of one process has reserved.
        on_workers: whether trials launch Ray Train.
        rungs: epochs after which a search looks at ``miou``.
        num_eigenvectors: the most that any spectral trial takes, which its stores hold for all.
    """

    out: Path
    resolve: Callable[[Mapping[str, Any]], Trial]
    threads: int = 1
    gpus: float = 0.0
    on_workers: bool = False
    rungs: tuple[int, ...] = ()
    num_eigenvectors: int = 0


def run_trial(config: dict[str, Any], job: Job) -> None:
    """Train, make and score everything of one trial; the function that Ray Tune calls."""
    trial = job.resolve(config)
    folder = job.out / "trials" / trial.name
    logger.setLevel(logging.INFO)
    known = result_of(job.out, trial)
    if known is not None:  # drawn twice
        tune.report(_last_report(trial, known))
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK).acquire(timeout=_HELD_S):
        _note_trial(trial, folder)
        (folder / "error.json").unlink(missing_ok=True)  # of an earlier try
        started = time.monotonic()
        try:
            result = _work(trial, folder, job)
        except FINAL as error:
            note_failure(folder, str(error))
            tune.report({"failed": True})
            return
        result["seconds"] = round(time.monotonic() - started, 2)
        result["scores"] += _other_scores(folder, result["scores"])
        write_json(folder / "result.json", result)
    tune.report(_last_report(trial, result))


def _note_trial(trial: Trial, folder: Path) -> None:
    """Write down what a trial is, before it starts."""
    record = {
        "name": trial.name,
        "kind": trial.kind,
        "about": trial.about,
        "methods": list(trial.methods),
        "seed": trial.recipe.train.seed,
        "point": dict(trial.point),
        "recipe": to_dict(trial.recipe),
        "commit": git_commit(),
    }
    write_json(folder / "trial.json", without_infinity(record))


def result_of(out: Path, trial: Trial) -> dict[str, Any] | None:
    """The result of a trial, once it has every score that is asked for."""
    file = out / "trials" / trial.name / "result.json"
    if not file.is_file():
        return None
    result = read_json(file)
    have = {(found["method"], found["score"]) for found in result["scores"]}
    wanted = {(method, score_key(scored)) for method in trial.methods for scored in trial.scores}
    return result if wanted <= have else None


def _other_scores(folder: Path, scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an earlier sweep scored besides."""
    if not (folder / "result.json").is_file():
        return []
    new = {(found["method"], found["score"]) for found in scores}
    earlier = read_json(folder / "result.json")["scores"]
    return [found for found in earlier if (found["method"], found["score"]) not in new]


def note_failure(folder: Path, error: str) -> None:
    """Write down why a trial failed."""
    write_json(folder / "error.json", {"error": error, "time": time.strftime("%FT%T%z")})


def store_of(out: Path, recipe: Recipe) -> Path:
    """The feature store of a recipe within a sweep: recipes with equal features share it."""
    images = open_split(recipe.data, recipe.data.train_split)
    return out / "features" / fingerprint(store_key(recipe, images))


def kept_in(out: Path) -> Path:
    """Where a sweep keeps the backbone's outputs of the images that it scores."""
    return out / "scored"


def _work(trial: Trial, folder: Path, job: Job) -> dict[str, Any]:
    recipe = trial.recipe
    if trial.kind == "spectral":
        torch.set_num_threads(job.threads)
        with this_process():
            most = job.num_eigenvectors
            return {"scores": spectral_scores(trial, folder, job.out, num_eigenvectors=most)}
    if recipe.train.features == "stored":
        store = str(store_of(job.out, recipe))
        recipe = replace(recipe, train=replace(recipe.train, store=store))
    if (folder / "run" / "run.json").is_file():  # begun by a sweep that scored otherwise
        recipe = replace(recipe, evaluate=RunFolder(folder / "run").recipe().evaluate)
    if not job.on_workers:
        torch.set_num_threads(job.threads)
        with this_process():
            hook = _Reporting(recipe, trial, job) if trial.kind in TRAINED else None
            return _make_and_score(trial, recipe, folder, on_epoch=hook)
    if trial.kind in TRAINED:
        make(
            trial.methods[0],
            recipe,
            folder / "run",
            callbacks=[_report_to_tune(recipe.train.epochs)],
        )
    task = ray.remote(_make_and_score_alone).options(
        num_cpus=1,
        num_gpus=1 if job.gpus else 0,
        scheduling_strategy="DEFAULT",  # not within the little that the trial itself holds
    )
    return ray.get(task.remote(trial, recipe, folder, job.threads))


def _make_and_score_alone(
    trial: Trial, recipe: Recipe, folder: Path, threads: int
) -> dict[str, Any]:
    """As a task of its own: what it takes is reserved at once."""
    logger.setLevel(logging.INFO)
    torch.set_num_threads(threads)
    with this_process():
        return _make_and_score(trial, recipe, folder)


def _make_and_score(
    trial: Trial, recipe: Recipe, folder: Path, *, on_epoch: EpochHook | None = None
) -> dict[str, Any]:
    """Every method of a trial, every score of each."""
    training = {"on_epoch": on_epoch} if trial.kind in TRAINED else {}
    scores = []
    for method in trial.methods:
        run = make(method, recipe, folder / "run", **training)
        for scored in trial.scores:
            by = replace(recipe, data=scored.data, evaluate=scored.evaluate)
            found = score(run, by, kept=kept_in(folder.parents[1]))
            where = {"method": method, "score": score_key(scored)}
            scores.append({**found, **where, "run": str(run.relative_to(folder))})
    trained = read_json(folder / "run" / "train.json")
    result: dict[str, Any] = {"scores": scores, "training_seconds": trained["seconds"]}
    if trial.kind in TRAINED:
        result["objective"] = share_of_bound(recipe, trained["objective"]["loss"])
    return result


def _last_report(trial: Trial, result: dict[str, Any]) -> dict[str, Any]:
    """What Ray Tune hears at the end; the last epoch is reported here, with its scores."""
    first = first_score(trial, result)
    values = {metric: first[metric] for metric in METRICS if metric in first}
    values["done_trial"] = True
    if "objective" in result:
        values["objective"] = result["objective"]
    return {"epoch": trial.recipe.train.epochs, **values}


def first_score(trial: Trial, result: dict[str, Any]) -> dict[str, Any]:
    """Of the first method by the first protocol."""
    key = (trial.methods[0], score_key(trial.scores[0]))
    return next(s for s in result["scores"] if (s["method"], s["score"]) == key)


class _Reporting:
    """Reports every epoch but the last to Ray Tune, which may stop the trial there and then."""

    def __init__(self, recipe: Recipe, trial: Trial, job: Job) -> None:
        self.recipe = replace(recipe, data=trial.scores[0].data, evaluate=trial.scores[0].evaluate)
        self.rungs, self.kept = job.rungs, kept_in(job.out)

    def __call__(self, summary: dict[str, float], trainer: Trainer) -> None:
        if summary["epoch"] >= self.recipe.train.epochs:
            return
        values: dict[str, Any] = dict(summary)
        if summary["epoch"] in self.rungs:
            values["miou"] = miou_so_far(self.recipe, trainer, kept=self.kept)
        tune.report(values)


def miou_so_far(recipe: Recipe, trainer: Trainer, *, kept: Path | None = None) -> float:
    """Validation mIoU of ψ as it is, by the recipe's protocol without CRF."""
    recipe = replace(recipe, evaluate=replace(recipe.evaluate, crf=False))
    images = open_split(recipe.data, recipe.data.val_split)
    backbone = load_backbone(recipe.backbone)
    psi = build_psi(recipe, NUM_TAPS * backbone.dim)  # a copy: what is saved loses its parameters
    psi.load_state_dict(trainer.psi.state_dict())
    with TemporaryDirectory() as folder:
        Segmenter(
            backbone,
            psi,
            backbone_config=recipe.backbone,
            short_side=recipe.evaluate.short_side,
            labels_leaked=recipe.train.leak_labels,
        ).save(folder)
        found = count(
            folder,
            recipe,
            images,
            num_clusters=recipe.eigen.num_eigenfunctions,
            temperature=recipe.eigen.tau_end,
            job="rung",
            kept=kept,
        )
    names = class_names(images, found.tables)
    table = found.tables[0][:, : len(names)]
    return name_and_score(table, table, names, recipe.evaluate.match).scores["miou"]


def _report_to_tune(epochs: int) -> TuneReportCallback:
    """Hands what worker 0 reports of an epoch on to Ray Tune, but the last, which has scores."""

    class Reporting(TuneReportCallback):
        def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
            if metrics[0]["epoch"] < epochs:
                super().after_report(run_context, metrics, None)

    return Reporting()
