"""A trial of a sweep: what runs in one Ray Tune trial.

    SWEEP/trials/NAME/run/    the run, as ``raynef train`` or a baseline makes it; a spectral
                              trial has a folder for each job there
    SWEEP/trials/NAME/*.json  see ``raynef.sweeps.state``

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

from raynef.cluster.place import this_process
from raynef.config.objective import objective_of
from raynef.config.recipe import Recipe, to_dict
from raynef.core.errors import BadImageError, NonFiniteLossError, UserError
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.images.datasets.registry import open_split
from raynef.io.files import read_json, without_infinity, write_json
from raynef.io.holds import LOCK
from raynef.jobs.agreement import agreement
from raynef.jobs.counting import count
from raynef.jobs.results import class_names, name_and_score
from raynef.models.heads import first_outputs
from raynef.models.segmenter import Segmenter
from raynef.models.training import Trainer, build_psi
from raynef.stores.run import RunFolder, git_commit
from raynef.sweeps.runs import make, make_and_score, spectral_scores
from raynef.sweeps.shared import with_store
from raynef.sweeps.state import (
    RunScore,
    TrialRecord,
    TrialResult,
    folder_of,
    note_failure,
    state_of,
)
from raynef.sweeps.sweep import Trial

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
        metric: that steers a search, if any.
        rungs: epochs after which a search looks at ``miou`` or ``agreement``.
        num_eigenvectors: the most that any spectral trial takes, which its stores hold for all.
    """

    out: Path
    resolve: Callable[[Mapping[str, Any]], Trial]
    threads: int = 1
    gpus: float = 0.0
    on_workers: bool = False
    metric: str | None = None
    rungs: tuple[int, ...] = ()
    num_eigenvectors: int = 0


def run_trial(config: dict[str, Any], job: Job) -> None:
    """Train, make and score everything of one trial; the function that Ray Tune calls."""
    trial = job.resolve(config)
    folder = folder_of(job.out, trial.name)
    logger.setLevel(logging.INFO)
    known = state_of(job.out, trial)
    if known.state == "done" and known.result is not None:  # drawn twice
        tune.report(_last_report(trial, known.result))
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / LOCK).acquire(timeout=_HELD_S):
        recipe, about = trial.recipe, (trial.name, trial.kind, trial.about, trial.methods)
        plain = to_dict(recipe)
        record = TrialRecord(*about, recipe.train.seed, trial.point, plain, git_commit())
        write_json(folder / "trial.json", without_infinity(vars(record)))
        (folder / "error.json").unlink(missing_ok=True)  # of an earlier try
        started = time.monotonic()
        try:
            result = _work(trial, folder, job)
        except FINAL as error:
            note_failure(folder, str(error))
            tune.report({"failed": True})
            return
        earlier = known.result.scores if known.result is not None else ()  # of other protocols
        new = {score.key for score in result.scores}
        result = replace(
            result,
            scores=(*result.scores, *(score for score in earlier if score.key not in new)),
            seconds=round(time.monotonic() - started, 2),
        )
        write_json(folder / "result.json", result.plain())
    tune.report(_last_report(trial, result))


def kept_in(out: Path) -> Path:
    """Where a sweep keeps the backbone's outputs of the images that it scores."""
    return out / "scored"


def _work(trial: Trial, folder: Path, job: Job) -> TrialResult:
    recipe, kept = trial.recipe, kept_in(job.out)
    if trial.method.is_spectral:
        torch.set_num_threads(job.threads)
        with this_process():
            most = job.num_eigenvectors
            scores = spectral_scores(trial, folder, job.out, num_eigenvectors=most)
        return TrialResult(tuple(scores))
    if recipe.train.features == "stored":
        recipe = with_store(recipe, job.out)
    run = RunFolder(folder / "run")
    if (folder / "run" / "run.json").is_file():  # begun by a sweep that scored otherwise
        recipe = replace(recipe, evaluate=run.recipe().evaluate)
    if not job.on_workers:
        hook = {"on_epoch": _Reporting(recipe, trial, job)} if trial.method.trains else {}
        scores = _in_this_process(trial, recipe, folder, job.threads, kept, **hook)
    else:
        if trial.method.trains:
            hook = _report_to_tune(recipe.train.epochs)
            make(trial.methods[0], recipe, folder / "run", callbacks=[hook])
        task = ray.remote(_in_this_process).options(
            num_cpus=1,
            num_gpus=1 if job.gpus else 0,
            scheduling_strategy="DEFAULT",  # not within the little that the trial itself holds
        )
        scores = ray.get(task.remote(trial, recipe, folder, job.threads, kept))
    agreed = None
    if job.metric == "agreement" and trial.method.trains:
        agreed = agreement_of(Segmenter.load(folder / "run"), recipe, kept)
    trained = read_json(folder / "run" / "train.json")
    loss = trained["objective"]["loss"] if trial.method.trains else None
    objective = None if loss is None else objective_of(recipe, loss)
    return TrialResult(tuple(scores), trained["seconds"], objective, agreed)


def agreement_of(segmenter: Segmenter, recipe: Recipe, kept: Path) -> float:
    """Of a trial's segmenter, on its training images."""
    images = open_split(recipe.data, recipe.data.train_split)
    return agreement(segmenter, images, recipe.data, kept=kept)


def _in_this_process(
    trial: Trial, recipe: Recipe, folder: Path, threads: int, kept: Path, **training: Any
) -> list[RunScore]:
    """As a task of its own too: what it takes is reserved at once."""
    logger.setLevel(logging.INFO)
    torch.set_num_threads(threads)
    with this_process():
        return make_and_score(trial, recipe, folder / "run", kept=kept, **training)


def _last_report(trial: Trial, result: TrialResult) -> dict[str, Any]:
    """What Ray Tune hears at the end; the last epoch is reported here, with its scores."""
    values: dict[str, Any] = {**result.first(trial).values, "done_trial": True}
    return {"epoch": trial.recipe.train.epochs, **values, **result.label_free()}


class _Reporting:
    """Reports every epoch but the last to Ray Tune, which may stop the trial there and then."""

    def __init__(self, recipe: Recipe, trial: Trial, job: Job) -> None:
        self.trained = recipe
        self.recipe = replace(recipe, data=trial.scores[0].data, evaluate=trial.scores[0].evaluate)
        self.metric, self.rungs, self.kept = job.metric, job.rungs, kept_in(job.out)

    def __call__(self, summary: dict[str, float], trainer: Trainer) -> None:
        if summary["epoch"] >= self.recipe.train.epochs:
            return
        values: dict[str, Any] = dict(summary)
        if summary["epoch"] in self.rungs and self.metric == "agreement":
            segmenter = segmenter_so_far(self.trained, trainer)
            values["agreement"] = agreement_of(segmenter, self.trained, self.kept)
        elif summary["epoch"] in self.rungs:
            values["miou"] = miou_so_far(self.recipe, trainer, kept=self.kept)
        tune.report(values)


def miou_so_far(recipe: Recipe, trainer: Trainer, *, kept: Path | None = None) -> float:
    """Validation mIoU of ψ as it is, by the recipe's protocol without CRF."""
    recipe = replace(recipe, evaluate=replace(recipe.evaluate, crf=False))
    images = open_split(recipe.data, recipe.data.val_split)
    with TemporaryDirectory() as folder:
        segmenter_so_far(recipe, trainer).save(folder)
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


def segmenter_so_far(recipe: Recipe, trainer: Trainer) -> Segmenter:
    """Of ψ as it is in the middle of a training, with the head that it trains."""
    backbone = load_backbone(recipe.backbone)
    psi = build_psi(recipe, NUM_TAPS * backbone.dim)  # a copy: what is saved loses its parameters
    psi.load_state_dict(trainer.psi.state_dict())
    return Segmenter(
        backbone,
        first_outputs(psi, recipe.eigen.num_eigenfunctions),
        backbone_config=recipe.backbone,
        short_side=recipe.evaluate.short_side,
        labels_leaked=recipe.train.leak_labels,
    )


def _report_to_tune(epochs: int) -> TuneReportCallback:
    """Hands what worker 0 reports of an epoch on to Ray Tune, but the last, which has scores."""

    class Reporting(TuneReportCallback):
        def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
            if metrics[0]["epoch"] < epochs:
                super().after_report(run_context, metrics, None)

    return Reporting()
