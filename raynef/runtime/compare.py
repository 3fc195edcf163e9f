"""A table of methods on data sets, from one file: every run, every score, and the table.

OUT/features/…      a feature store for each data set and backbone, shared by all runs
OUT/runs/…          the runs; rows that differ in their scoring alone share them
OUT/table.md, OUT/table.json

What is done is found again: the same command goes on where it was interrupted.
"""

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from raynef.core.comparison import COLUMNS, SUPERVISED, Row, read_comparison
from raynef.core.files import write_json, write_text
from raynef.core.recipe import Recipe, fingerprint, to_dict
from raynef.core.storage import name_of
from raynef.images.datasets import open_split
from raynef.report.table import Cell, TableRow, markdown
from raynef.runtime.methods import make, score
from raynef.runtime.run import environment, holds
from raynef.runtime.session import ray_session
from raynef.runtime.store import store_key
from raynef.runtime.train import cpus_needed

logger = logging.getLogger("raynef")


@holds(made=("out",))
def compare(path: str | Path, out: str | Path, *, address: str | None = None) -> dict[str, Any]:
    """Make the table of a comparison's file; the result of ``raynef compare``.

    Raises:
        UserError: a mistake in the file, named; or what training and evaluation raise.
    """
    rows, out = read_comparison(path), Path(out).absolute()
    for row in rows:  # a wrong path in the last row shall not wait for the first
        open_split(row.recipe.data, row.recipe.data.train_split)
    done: list[dict[str, Any]] = []
    with ray_session(address, min_cpus=max(cpus_needed(row.recipe) for row in rows)):
        for row in rows:
            cells: dict[str, list[dict[str, Any]]] = {}
            for column in row.columns:
                cells[column] = [_score(row, column, seed, out) for seed in row.seeds]
                shown = [f"{100 * score['miou']:.1f}" for score in cells[column]]
                logger.info("%s: %s: mIoU %s %%", row.name, COLUMNS[column], ", ".join(shown))
            done.append({"name": row.name, "seeds": list(row.seeds), "cells": cells})
            _write(out, Path(path), done)
    return {"table": str(out / "table.md"), "rows": done}


def _score(row: Row, column: str, seed: int, out: Path) -> dict[str, Any]:
    """The score of one method with one seed, found or made."""
    recipe = replace(row.recipe, train=replace(row.recipe.train, seed=seed))
    images = open_split(recipe.data, recipe.data.train_split)
    store = out / "features" / fingerprint(store_key(recipe, images))
    recipe = replace(recipe, train=replace(recipe.train, store=str(store)))
    folder, seeded = out / "runs" / _name(row.recipe), f"seed-{seed}"
    if column in ("kmeans", "probe"):
        base = folder / column / seeded
    elif column in ("leaked", "leaked_star"):
        recipe = replace(recipe, train=replace(recipe.train, leak_labels=True))
        base = folder / "leaked" / seeded
    else:
        base = folder / "ours" / seeded
    run = make(column, recipe, base)
    found = score(run, replace(recipe, evaluate=row.evaluate))
    return {**found, "run": str(run.relative_to(out))}


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
            name=row["name"],
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
