"""A table of methods on data sets, from one file: every run, every score, and the table.

OUT/features/…      a feature store for each data set and backbone, shared by all runs
OUT/runs/…          the runs; rows that differ in their scoring alone share them
OUT/compare.json    every score that is asked for, and the file that will hold it
OUT/table.md, OUT/table.json
OUT/log.txt

Rerun the same command to resume: what is done is found again.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raynef.cluster.session import ray_session
from raynef.config.recipe import Recipe, fingerprint
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import require_labels
from raynef.images.datasets.registry import open_split
from raynef.io.files import write_json, write_text
from raynef.io.holds import holds
from raynef.io.log import logged
from raynef.io.storage import name_of
from raynef.jobs.clusters import with_clusters
from raynef.jobs.evaluate import labeled_part
from raynef.jobs.train import cpus_needed
from raynef.report.table import Cell, TableRow, markdown
from raynef.segment.crf import require_crf
from raynef.stores.run import environment
from raynef.sweeps.comparison import PLAN, Row, read_comparison
from raynef.sweeps.methods import CAPTIONED, CRF, METHODS, SUPERVISED
from raynef.sweeps.runs import make_and_score, score_file
from raynef.sweeps.shared import with_store
from raynef.sweeps.state import RunScore
from raynef.sweeps.sweep import Trial, differing

logger = logging.getLogger("raynef")


@dataclass(frozen=True)
class Scored:
    """A row with the scores of its columns, one for each seed."""

    row: Row
    cells: Mapping[str, Sequence[RunScore]]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        cells = {name: [score.plain() for score in scores] for name, scores in self.cells.items()}
        about = {"name": self.row.name, "seeds": list(self.row.seeds)}
        return {**about, "crf": self.row.evaluate.crf, "cells": cells}


@holds(made=("out",))
def compare(path: str | Path, out: str | Path, *, address: str | None = None) -> dict[str, Any]:
    """Make the table of a comparison's file; the result of ``raynef compare``.

    Raises:
        UserError: a mistake in the file, named; or what training and evaluation raise.
    """
    out, done = Path(out).absolute(), []
    rows = [_opened(row) for row in read_comparison(path)]  # the last row's wrong path is said now
    for row in rows:
        if row.evaluate.crf:
            require_crf()
    _write_plan(out, Path(path), rows)
    needed = max(cpus_needed(row.recipe) for row in rows)
    with logged(out), ray_session(address, min_cpus=needed):
        for row in rows:
            cells: dict[str, list[RunScore]] = {}
            for column in row.columns:
                cells[column] = [_score(row, column, seed, out) for seed in row.seeds]
                shown = [f"{100 * score.values['miou']:.1f}" for score in cells[column]]
                title = METHODS[column].title
                logger.info("%s: %s: mIoU %s %%", row.name, title, ", ".join(shown))
            done.append(Scored(row, cells))
            _write(out, Path(path), done)
    return {"table": str(out / "table.md"), "rows": [scored.plain() for scored in done]}


def _opened(row: Row) -> Row:
    """The row with its K. Raises UserError, naming row and data, unless its images are there and
    all labels that it needs.

    Every cell is scored on labels of the validation split; probes and leaked columns train on those
    of the training split.
    """
    data = row.recipe.data
    try:
        train = open_split(data, data.train_split)
        require_labels(open_split(data, data.val_split))
        if row.recipe.train.leak_labels or SUPERVISED & set(row.columns):
            from raynef.work.labels import patch_labels  # which the label-free path never does

            patch_labels(train, data, grid=1)
        elif row.evaluate.match_on == "train":
            labeled_part(train)
        return replace(row, recipe=with_clusters(row.recipe, num_images=len(train.files)))
    except UserError as error:
        raise UserError(f"row {row.name!r}: {error}") from error


def trial_of(row: Row, column: str, seed: int) -> Trial:
    """The trial of one method at a row, as at a point of a space; its name is the run's folder."""
    method = METHODS[column]
    recipe = method.with_fixed(row.recipe)
    return Trial(
        name=f"runs/{_folder(row.recipe)}/{method.kind}/seed-{seed}",
        recipe=replace(recipe, train=replace(recipe.train, seed=seed)),
        methods=(column,),
        scores=(replace(row.recipe, evaluate=row.evaluate),),
        about=row.name,
        point={},
    )


def _folder(recipe: Recipe) -> str:
    """For the runs of a recipe, whatever their seed and scoring."""
    data = name_of(recipe.data.root or "") or recipe.data.name
    size = recipe.eigen.num_eigenfunctions
    others = fingerprint(differing(recipe, "train.seed"))[:6]
    backbone = recipe.backbone.name.rpartition("/")[2]
    return f"{data}-{backbone}-{size}-{others}"


def _write_plan(out: Path, source: Path, rows: Sequence[Row]) -> None:
    """What is asked for, as ``raynef status`` reads it."""
    cells = []
    for row in rows:
        for column in row.columns:
            for seed in row.seeds:
                trial = trial_of(row, column, seed)
                file = score_file(Path(trial.name, METHODS[column].part), trial.scores[0])
                cells.append({"row": row.name, "column": column, "seed": seed, "file": str(file)})
    write_json(out / PLAN, {"file": source.name, "cells": cells})


def _score(row: Row, column: str, seed: int, out: Path) -> RunScore:
    """The score of one method with one seed, found or made; after the CRF where there is one."""
    trial = trial_of(row, column, seed)
    (found,) = make_and_score(trial, with_store(trial.recipe, out), out / trial.name)
    after = CRF if row.evaluate.crf else ""
    shown = {name: found.values[f"{name}{after}"] for name in ("miou", "accuracy")}
    run = str(Path(trial.name, METHODS[column].part))
    return replace(found, values={**found.values, **shown}, method="", score="", run=run)


def _write(out: Path, source: Path, done: Sequence[Scored]) -> None:
    """The table as far as it is done."""
    present = {column for scored in done for column in scored.cells}
    titles = {key: method.title for key, method in METHODS.items() if key in present}
    rows = []
    for row, cells in ((scored.row, scored.cells) for scored in done):
        name = row.name + (", after a CRF" if row.evaluate.crf and "CRF" not in row.name else "")
        num_images = next(iter(cells.values()))[0].num_images
        rows.append(TableRow(name, num_images, {key: _cell(found) for key, found in cells.items()}))
    scores = [score for scored in done for found in scored.cells.values() for score in found]
    commits = {str(score.commit)[:7] for score in scores}
    made = environment()
    machine = made["machine"]
    note = (
        f"mIoU / pixel accuracy in %, mean ± standard deviation over seeds where there are "
        f"several. Bold: the best mIoU without labels. "
        f"`raynef compare {source.name}`, {time.strftime('%Y-%m-%d')}, runs at commit "
        f"{', '.join(sorted(commits))}; {machine['cores']} cores of {machine['processor']}.\n"
    )
    if present & SUPERVISED:
        note += "\nProbes and leaked columns saw labels in training and compare with no other.\n"
    if present & CAPTIONED:
        note += "\nCaptions of images trained MaskCLIP: it is not without any supervision.\n"
    plain = [scored.plain() for scored in done]
    write_json(out / "table.json", {"environment": made, "rows": plain})
    table = markdown(rows, titles, supervised=SUPERVISED | CAPTIONED)
    write_text(out / "table.md", f"{table}\n{note}")


def _cell(scores: Sequence[RunScore]) -> Cell:
    miou, accuracy = (tuple(s.values[name] for s in scores) for name in ("miou", "accuracy"))
    return Cell(miou, accuracy)
