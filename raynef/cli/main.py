"""Entry point: parse, run, print one JSON line; exit 0 success, 1 failure, 2 the user's mistake."""

import dataclasses
import json
import logging
import math
import os
import sys
from pathlib import Path
from typing import Any

import tyro

from raynef.cli.arguments import Command, Demo, Evaluate, Extract, Predict, Report, Train
from raynef.core.errors import BadImageError, NonFiniteLossError, UserError
from raynef.core.presets import load_preset
from raynef.core.recipe import Recipe, check

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
    try:
        status = _run(argv)
    finally:
        logger.removeHandler(handler)
    sys.exit(status)


def _run(argv: list[str]) -> int:
    try:
        result = _dispatch(parse(argv))
    except KeyboardInterrupt:
        logger.error("raynef: interrupted; the same command goes on from here")
        return 1
    except Exception as error:
        for kind, status in _STATUS.items():  # Ray wraps what its workers raise
            cause = _cause_within(error, kind)
            if cause is not None:
                logger.error("raynef: %s", cause)
                return status
        logger.exception("raynef: failed")
        return 1
    sys.stdout.write(json.dumps(_plain(result), ensure_ascii=False) + "\n")
    sys.stdout.flush()
    return 0


def parse(argv: list[str]) -> Command:
    """Arguments over a preset (or over a run's own recipe); a mistake exits with status 2."""
    args = tyro.cli(Command, args=argv, prog="raynef")
    if isinstance(args, Demo | Train | Extract):
        config = load_preset(args.preset)
        base = dataclasses.replace(args, config=config)
        args = tyro.cli(type(args), args=argv[1:], default=base, prog=f"raynef {argv[0]}")
        return dataclasses.replace(args, config=_absolute(check(args.config)))
    if isinstance(args, Evaluate):
        from raynef.runtime.run import RunFolder

        recipe = RunFolder(args.run).recipe()
        base = dataclasses.replace(args, data=recipe.data, evaluate=recipe.evaluate)
        args = tyro.cli(Evaluate, args=argv[1:], default=base, prog="raynef evaluate")
    return args


def _absolute(config: Recipe) -> Recipe:
    """Paths as seen from here, for workers with another working directory and for resuming."""
    data, backbone, train = config.data, config.backbone, config.train
    if data.root:
        data = dataclasses.replace(data, root=os.path.abspath(data.root))
    if backbone.weights and backbone.weights not in ("hub", "bundled"):
        backbone = dataclasses.replace(backbone, weights=os.path.abspath(backbone.weights))
    if train.store:
        train = dataclasses.replace(train, store=os.path.abspath(train.store))
    return dataclasses.replace(config, data=data, backbone=backbone, train=train)


def _dispatch(args: Command) -> dict[str, Any]:
    """Run a command; imports torch and Ray only where it needs them."""
    if isinstance(args, Demo):
        from raynef.runtime.demo import demo

        return demo(args.config, args.out, num_train=args.num_train, num_val=args.num_val)
    if isinstance(args, Train):
        from raynef.runtime.report import write_report
        from raynef.runtime.run import RunFolder
        from raynef.runtime.train import train

        result = train(args.config, args.out, address=args.address)
        if not RunFolder(args.out).report_file.is_file():
            write_report(args.out)
        return result
    if isinstance(args, Evaluate):
        from raynef.runtime.evaluate import evaluate
        from raynef.runtime.run import RunFolder

        recipe = RunFolder(args.run).recipe()
        recipe = check(dataclasses.replace(recipe, data=args.data, evaluate=args.evaluate))
        return evaluate(args.run, recipe=_absolute(recipe), address=args.address)
    if isinstance(args, Predict):
        from raynef.runtime.predict import predict

        return predict(args.run, args.source, args.out, address=args.address)
    if isinstance(args, Extract):
        from raynef.runtime.features import extract_store

        return extract_store(args.config, args.out, address=args.address)
    if isinstance(args, Report):
        from raynef.runtime.report import write_report

        return write_report(args.run)
    from raynef.cli import distill

    return distill.run(args)


def _cause_within(error: BaseException, kind: type[Exception]) -> Exception | None:
    """What Ray wrapped in its own exceptions: the first cause of a kind, if there is one."""
    seen: set[int] = set()
    queue: list[Any] = [error]
    while queue:
        found = queue.pop()
        if id(found) in seen or not isinstance(found, BaseException):
            continue
        seen.add(id(found))
        # Ray's wrapper is an instance of its cause's class too; its text is a traceback.
        if isinstance(found, kind) and not type(found).__module__.startswith("ray."):
            return found
        queue += [found.__cause__, getattr(found, "cause", None)]
        queue += list(getattr(found, "worker_failures", {}).values())
    return None


def _plain(value: Any) -> Any:
    """NaN and infinity have no place in JSON: null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
