"""Entry point: parse, run, print one JSON line; exit 0 success, 1 failure, 2 the user's mistake."""

import contextlib
import dataclasses
import logging
import math
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from raynef.cli.arguments import (
    Baseline,
    BaselineKMeans,
    BaselineKMeansPsi,
    BaselineProbe,
    Command,
    Compare,
    DataCheck,
    DataTools,
    Demo,
    Distill,
    Evaluate,
    Extract,
    Predict,
    Report,
    Table,
    Train,
    Tune,
)
from raynef.cli.booleans import plain_flags
from raynef.cli.machine import Doctor, Status, run_machine
from raynef.cli.paths import absolute_paths
from raynef.cli.plan import Plan, run_plan
from raynef.cli.spectral import Spectral, parse_spectral, run_spectral
from raynef.cli.submit import Job, read_submit, run_submit
from raynef.cli.tune import Sweep, read_sweep, run_sweep
from raynef.cluster.causes import cause_within, causes
from raynef.cluster.interrupt import Terminated, terminable
from raynef.config.presets import load_presets, with_presets
from raynef.config.recipe import Data, Recipe, check
from raynef.core.errors import BadImageError, DiskFullError, NonFiniteLossError, UserError
from raynef.io.files import disk_full_message, full_disk_reason, json_text
from raynef.io.log import warnings_once
from raynef.io.storage import absolute

logger = logging.getLogger("raynef")

_STATUS = {UserError: 2, BadImageError: 2, NonFiniteLossError: 1, OSError: 1}
"""Exit status of failures that one line explains; any other shows its traceback and is 1."""


def main(argv: list[str] | None = None) -> None:
    """``raynef``: human text on stderr, one JSON line of results on stdout."""
    argv = sys.argv[1:] if argv is None else argv
    logger.setLevel(logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    terminable()
    try:
        with warnings_once():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            status = _run(argv)
    finally:
        logger.removeHandler(handler)
    sys.exit(status)


def _run(argv: list[str]) -> int:
    try:
        args = parse(argv)
        if isinstance(args, Job):
            return run_submit(args, Command)
        with contextlib.redirect_stdout(sys.stderr):  # Ray prints warnings; stdout is for results
            result = _dispatch(args)
    except KeyboardInterrupt as error:
        how = "terminated" if isinstance(error, Terminated) else "interrupted"
        logger.error("raynef: %s; the same command goes on from here", how)
        return 1
    except Exception as error:
        full = _full_disk_within(error)
        if full is not None:
            logger.error("raynef: %s", full)
            return 1
        for kind, status in _STATUS.items():  # Ray wraps what its workers raise
            cause = cause_within(error, kind)
            if cause is not None:
                logger.error("raynef: %s", cause)
                return status
        logger.exception("raynef: failed")
        return 1
    sys.stdout.write(json_text(_plain(result)) + "\n")
    sys.stdout.flush()
    return 0 if result.get("ok", True) else 1


def parse(argv: list[str]) -> Command | Sweep | Job:
    """Arguments over a preset (or over a run's own recipe); a mistake exits with status 2."""
    argv = plain_flags(argv)
    if argv[:1] == ["submit"]:
        return read_submit(argv[1:])
    args = tyro.cli(Command, args=argv, prog="raynef")
    if isinstance(args, Baseline):
        return Baseline(_parse_baseline(args.method, argv[2:], f"raynef baseline {argv[1]}"))
    if isinstance(args, Demo | Train | Extract | Plan):
        config = load_presets(args.presets)
        base = dataclasses.replace(args, config=config)
        args = tyro.cli(type(args), args=argv[1:], default=base, prog=f"raynef {argv[0]}")
        return dataclasses.replace(args, config=absolute_paths(check(args.config)))
    if isinstance(args, Spectral):
        return Spectral(parse_spectral(args.method, argv[2:]))
    if isinstance(args, Tune):
        return read_sweep(args, argv[1:])
    if isinstance(args, Evaluate):
        from raynef.stores.run import RunFolder, runs_of

        recipe = RunFolder(runs_of(args.run)[0]).recipe()
        recipe = with_presets(recipe, args.presets, sections=("data", "evaluate"))
        base = dataclasses.replace(args, data=recipe.data, evaluate=recipe.evaluate)
        args = tyro.cli(Evaluate, args=argv[1:], default=base, prog="raynef evaluate")
    return args


def _parse_baseline(method: Any, argv: list[str], prog: str) -> Any:
    """Likewise for the method of a baseline."""
    if isinstance(method, BaselineKMeans | BaselineProbe):
        base = dataclasses.replace(method, config=load_presets(method.presets))
        method = tyro.cli(type(method), args=argv, default=base, prog=prog)
        return dataclasses.replace(method, config=absolute_paths(check(method.config)))
    from raynef.stores.run import RunFolder, runs_of

    recipe = RunFolder(runs_of(method.run)[0]).recipe()
    section = "kmeans" if isinstance(method, BaselineKMeansPsi) else "probe"
    base = dataclasses.replace(method, **{section: getattr(recipe, section)})
    return tyro.cli(type(method), args=argv, default=base, prog=prog)


def _dispatch(args: Command | Sweep) -> dict[str, Any]:
    """Run a command; imports torch and Ray only where it needs them."""
    if isinstance(args, Demo):
        from raynef.demo.demo import demo

        return demo(args.config, args.out, num_train=args.num_train, num_val=args.num_val)
    if isinstance(args, Train):
        job = partial(_train, init_from=args.init_from)
        if args.seeds:
            from raynef.jobs.seeds import over_seeds

            return over_seeds(job, args.config, args.out, args.seeds, address=args.address)
        return job(args.config, args.out, address=args.address)
    if isinstance(args, Evaluate):
        return _evaluate(args)
    if isinstance(args, Baseline):
        return _baseline(args.method)
    if isinstance(args, Compare):
        from raynef.sweeps.compare import compare

        return compare(args.file, args.out, address=args.address)
    if isinstance(args, Sweep):
        return run_sweep(args)
    if isinstance(args, Spectral):
        return run_spectral(args.method)
    if isinstance(args, Doctor | Status):
        return run_machine(args)
    if isinstance(args, Table):
        from raynef.sweeps.table import write_tables

        return write_tables(args.sweep)
    if isinstance(args, Predict):
        from raynef.jobs.predict import predict

        return predict(args.run, args.source, args.out, address=args.address)
    if isinstance(args, Extract):
        from raynef.jobs.extract import extract_store

        return extract_store(args.config, args.out, address=args.address)
    if isinstance(args, Plan):
        return run_plan(args)
    if isinstance(args, DataTools):
        if args.tool is None:
            raise UserError("raynef data: which tool? There is: check")
        return _check_data(args.tool)
    if isinstance(args, Report):
        from raynef.jobs.report import write_report
        from raynef.sweeps.sweep_report import is_sweep, write_sweep_report

        write = write_sweep_report if is_sweep(args.run) else write_report
        return write(args.run, images=args.images)
    if isinstance(args, Distill):
        from raynef.cli import distill

        return distill.run(args)
    raise TypeError(f"parse left {type(args).__name__} as it was")


def _check_data(args: DataCheck) -> dict[str, Any]:
    from raynef.jobs.check import check_data

    data = Data(
        name=args.name,
        root=absolute(args.root),
        train_split=args.train_split,
        val_split=args.val_split,
        max_bad_fraction=args.max_bad_fraction,
        label_orientation=args.label_orientation,
    )
    return check_data(data, address=args.address)


def _train(
    config: Recipe, out: Path, *, init_from: Path | None = None, address: str | None = None
) -> dict[str, Any]:
    """Train, and write the report where there is none yet."""
    from raynef.jobs.report import write_report
    from raynef.jobs.train import train
    from raynef.stores.run import RunFolder

    result = train(config, out, init_from=init_from, address=address)
    if not RunFolder(out).report_file.is_file():
        write_report(out)
    return result


def _baseline(method: Any) -> dict[str, Any]:
    """Make a baseline, once for each seed where there are several."""
    from raynef.jobs import baseline
    from raynef.jobs.seeds import over_runs, over_seeds

    if isinstance(method, BaselineKMeans | BaselineProbe):
        job = baseline.kmeans if isinstance(method, BaselineKMeans) else baseline.probe
        if method.seeds:
            return over_seeds(job, method.config, method.out, method.seeds, address=method.address)
        return job(method.config, method.out, address=method.address)
    if isinstance(method, BaselineKMeansPsi):
        job, out = partial(baseline.kmeans_psi, settings=method.kmeans), "kmeans-psi"
    else:
        job, out = partial(baseline.probe_psi, settings=method.probe), "probe-psi"
    return over_runs(job, method.run, method.out or method.run / out, address=method.address)


def _evaluate(args: Evaluate) -> dict[str, Any]:
    """Score a run, or each run of a folder of several seeds and their mean."""
    from raynef.cluster.session import ray_session
    from raynef.jobs.evaluate import evaluate
    from raynef.jobs.seeds import summarize
    from raynef.stores.run import RunFolder, runs_of

    runs = runs_of(args.run)
    results = []
    with contextlib.nullcontext() if len(runs) == 1 else ray_session(args.address):
        for run in runs:
            recipe = RunFolder(run).recipe()
            recipe = check(dataclasses.replace(recipe, data=args.data, evaluate=args.evaluate))
            results.append(evaluate(run, recipe=absolute_paths(recipe), address=args.address))
    return results[0] if runs == [args.run] else summarize(args.run, results)


def _full_disk_within(error: BaseException) -> str | None:
    """One line, if a full disk is at the bottom of it, whichever library met it."""
    said = None
    for found in causes(error):
        if isinstance(found, DiskFullError) and not type(found).__module__.startswith("ray."):
            return str(found)
        reason = full_disk_reason(found)
        if reason is not None and said is None:
            said = disk_full_message(getattr(found, "filename", None), reason)
    return said


def _plain(value: Any) -> Any:
    """NaN and infinity have no place in JSON: null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
