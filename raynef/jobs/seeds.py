"""The same recipe with several seeds: OUT/seed-0, OUT/seed-1, …, and their mean ± sd.

OUT/seeds.json      which seeds; what makes a folder one of several runs
OUT/store/          the features that they share, unless train.store names another place
OUT/seed-…/         the runs, each as a single run would be
OUT/evaluate.json   mean and standard deviation over them
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raynef.cluster.session import shared_session
from raynef.config.recipe import Recipe
from raynef.core.errors import UserError
from raynef.io.files import read_json, write_json
from raynef.io.holds import hold_folder, holds
from raynef.report.table import mean_sd, percent
from raynef.stores.run import SEEDS, runs_of

logger = logging.getLogger("raynef")


@holds(made=("out",))
def over_seeds(
    job: Callable[..., dict[str, Any]],
    recipe: Recipe,
    out: str | Path,
    seeds: Sequence[int],
    *,
    address: str | None = None,
) -> dict[str, Any]:
    """Run a job (training or a baseline) once for each seed, on one store of features.

    The same command goes on where it was interrupted; more seeds may be asked for later.
    Raises UserError where ``out`` is a run of one seed, and what the job raises.
    """
    out = Path(out).absolute()
    if (out / "run.json").exists():
        raise UserError(f"{out} is a run of one seed; give another --out for several")
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise UserError(f"--seeds names {', '.join(map(str, repeated))} more than once")
    known = [int(run.name.removeprefix("seed-")) for run in runs_of(out) if run != out]
    write_json(out / SEEDS, {"seeds": sorted({*known, *seeds})})
    store = recipe.train.store or str(out / "store")
    results = []
    with shared_session():
        for number, seed in enumerate(seeds, start=1):
            logger.info("seed %d (%d of %d)", seed, number, len(seeds))
            seeded = replace(recipe, train=replace(recipe.train, seed=seed, store=store))
            results.append(job(seeded, out / f"seed-{seed}", address=address))
    return {"out": str(out), "seeds": list(seeds), "runs": results}


def over_runs(
    job: Callable[..., dict[str, Any]],
    path: str | Path,
    out: str | Path,
    *,
    address: str | None = None,
) -> dict[str, Any]:
    """Run a job on a run, or on each run of several seeds, whose results again lie side by side.

    It is called with a run, the folder of its result and ``address``.
    """
    path, out = Path(path).absolute(), Path(out).absolute()
    runs = runs_of(path)
    if runs == [path]:
        return job(path, out, address=address)
    with hold_folder(out), shared_session():
        write_json(out / SEEDS, read_json(path / SEEDS))
        results = [job(run, out / run.name, address=address) for run in runs]
    return {"out": str(out), "runs": results}


def summarize(path: str | Path, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean and sample standard deviation of evaluations, written beside the runs."""
    path = Path(path).absolute()
    summary: dict[str, Any] = {
        "out": str(path),
        "runs": [result["run"] for result in results],
        "num_images": results[0]["num_images"],
        "protocol": results[0]["protocol"],
        **_mean_of(results),
    }
    if all(result.get("crf") for result in results):
        summary["crf"] = _mean_of([result["crf"] for result in results])
    write_json(path / "evaluate.json", summary)
    logger.info(
        "mIoU %s %%, accuracy %s %% over %d seeds",
        percent([result["miou"] for result in results]),
        percent([result["accuracy"] for result in results]),
        len(results),
    )
    return summary


def _mean_of(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = {}
    for name in ("miou", "accuracy"):
        values[name], values[f"{name}_sd"] = mean_sd([result[name] for result in results])
    return values
