"""A table of methods on data sets, from one file: every run, every score, and the table.

OUT/features/…      a feature store for each data set and backbone, shared by all runs
OUT/runs/…          the runs; rows that differ in their scoring alone share them
OUT/compare.json    every score that is asked for, and the file that will hold it
OUT/table.md, OUT/table.json
OUT/log.txt

What is done is found again: the same command goes on where it was interrupted.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raynef.cluster.session import ray_session
from raynef.config.recipe import Recipe, fingerprint, to_dict
from raynef.core.errors import UserError
from raynef.images.datasets.imageset import require_labels
from raynef.images.datasets.registry import open_split
from raynef.io.files import write_json, write_text
from raynef.io.holds import holds
from raynef.io.log import logged
from raynef.io.storage import name_of
from raynef.jobs.evaluate import labeled_part
from raynef.jobs.train import cpus_needed
from raynef.report.table import Cell, TableRow, markdown
from raynef.stores.features import store_key
from raynef.stores.run import environment
from raynef.sweeps.catalog import CRF
from raynef.sweeps.comparison import COLUMNS, PLAN, SUPERVISED, Row, read_comparison
from raynef.sweeps.methods import make, run_of, score, score_file

logger = logging.getLogger("raynef")


@holds(made=("out",))
def compare(path: str | Path, out: str | Path, *, address: str | None = None) -> dict[str, Any]:
    """Make the table of a comparison's file; the result of ``raynef compare``.

    Raises:
        UserError: a mistake in the file, named; or what training and evaluation raise.
    """
    rows, out = read_comparison(path), Path(out).absolute()
    for row in rows:  # a wrong path in the last row shall not wait for the first
        _require_data(row)
    done: list[dict[str, Any]] = []
    _write_plan(out, Path(path), rows)
    needed = max(cpus_needed(row.recipe) for row in rows)
    with logged(out), ray_session(address, min_cpus=needed):
        for row in rows:
            cells: dict[str, list[dict[str, Any]]] = {}
            for column in row.columns:
                cells[column] = [_score(row, column, seed, out) for seed in row.seeds]
                shown = [f"{100 * score['miou']:.1f}" for score in cells[column]]
                logger.info("%s: %s: mIoU %s %%", row.name, COLUMNS[column], ", ".join(shown))
            about = {"name": row.name, "seeds": list(row.seeds), "crf": row.evaluate.crf}
            done.append({**about, "cells": cells})
            _write(out, Path(path), done)
    return {"table": str(out / "table.md"), "rows": done}


def _require_data(row: Row) -> None:
    """Raise UserError, naming row and data, unless its images are there and all labels it needs.

    Every cell is scored on labels of the validation split; probes and leaked columns train on those
    of the training split.
    """
    data = row.recipe.data
    try:
        train = open_split(data, data.train_split)
        require_labels(open_split(data, data.val_split))
        if row.recipe.train.leak_labels or SUPERVISED & set(row.columns):
            from raynef.jobs.labels import patch_labels  # which the label-free path never does

            patch_labels(train, data, grid=1)
        elif row.evaluate.match_on == "train":
            labeled_part(train)
    except UserError as error:
        raise UserError(f"row {row.name!r}: {error}") from error


def _write_plan(out: Path, source: Path, rows: Sequence[Row]) -> None:
    """What is asked for, as ``raynef status`` reads it."""
    cells = [
        {
            "row": row.name,
            "column": column,
            "seed": seed,
            "file": str(_score_file(row, column, seed, out).relative_to(out)),
        }
        for row in rows
        for column in row.columns
        for seed in row.seeds
    ]
    write_json(out / PLAN, {"file": source.name, "cells": cells})


def _score(row: Row, column: str, seed: int, out: Path) -> dict[str, Any]:
    """The score of one method with one seed, found or made."""
    leaked = column in ("leaked", "leaked_star")
    train = replace(row.recipe.train, seed=seed, leak_labels=leaked or row.recipe.train.leak_labels)
    recipe = replace(row.recipe, train=train)
    images = open_split(recipe.data, recipe.data.train_split)
    store = out / "features" / fingerprint(store_key(recipe, images))
    recipe = replace(recipe, train=replace(recipe.train, store=str(store)))
    run = make(column, recipe, _base(row, column, seed, out))
    found = score(run, replace(recipe, evaluate=row.evaluate))
    after = CRF if row.evaluate.crf else ""
    shown = {name: found[f"{name}{after}"] for name in ("miou", "accuracy")}
    return {**found, **shown, "run": str(run.relative_to(out))}


def _base(row: Row, column: str, seed: int, out: Path) -> Path:
    """Folder of the run that a method is, or that it builds upon."""
    leaked = column in ("leaked", "leaked_star")
    kind = column if column in ("kmeans", "probe") else "leaked" if leaked else "ours"
    return out / "runs" / _name(row.recipe) / kind / f"seed-{seed}"


def _score_file(row: Row, column: str, seed: int, out: Path) -> Path:
    run = run_of(column, _base(row, column, seed, out))
    return score_file(run, replace(row.recipe, evaluate=row.evaluate))


def _name(recipe: Recipe) -> str:
    """A folder for the runs of a recipe, whatever their seed and scoring.

    What has its default does not count, so that a field that comes later changes no name.
    """
    defaults = to_dict(Recipe())
    others = {
        f"{section}.{name}": value
        for section, fields in to_dict(recipe).items()
        for name, value in fields.items()
        if value != defaults[section][name]
        and section != "evaluate"
        and (section, name) not in (("train", "seed"), ("train", "store"))
    }
    data = name_of(recipe.data.root or "") or recipe.data.name
    size = recipe.eigen.num_eigenfunctions
    return f"{data}-{recipe.backbone.name}-{size}-{fingerprint(others)[:6]}"


def _write(out: Path, source: Path, done: list[dict[str, Any]]) -> None:
    """The table as far as it is done."""
    present = {column for row in done for column in row["cells"]}
    titles = {key: title for key, title in COLUMNS.items() if key in present}
    rows = [
        TableRow(
            name=row["name"] + (", after a CRF" if row["crf"] and "CRF" not in row["name"] else ""),
            num_images=next(iter(row["cells"].values()))[0]["num_images"],
            cells={
                key: Cell(
                    tuple(score["miou"] for score in scores),
                    tuple(score["accuracy"] for score in scores),
                )
                for key, scores in row["cells"].items()
            },
        )
        for row in done
    ]
    made = environment()
    machine = made["machine"]
    commits = sorted(
        {
            str(score["commit"])[:7]
            for row in done
            for scores in row["cells"].values()
            for score in scores
        }
    )
    note = (
        f"mIoU / pixel accuracy in %, mean ± standard deviation over seeds where there are "
        f"several. Bold: the best mIoU without labels. "
        f"`raynef compare {source.name}`, {time.strftime('%Y-%m-%d')}, runs at commit "
        f"{', '.join(commits)}; {machine['cores']} cores of {machine['processor']}.\n"
    )
    if present & SUPERVISED:
        note += "\nThe columns after Ours* saw labels in training and compare with no other.\n"
    write_json(out / "table.json", {"environment": made, "rows": done})
    write_text(out / "table.md", markdown(rows, titles, supervised=SUPERVISED) + "\n" + note)
