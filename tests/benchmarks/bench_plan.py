"""A plan held against runs: `raynef plan`, then `raynef train` and `evaluate` with 1 and 2 workers.

    python tests/benchmarks/bench_plan.py --data DIR --out DIR [--backbone NAME --weights FILE]

Plans first, while nothing else runs; then trains with one worker, with a store of its own, and with
two workers on the same store, and scores the first run. Printed as one JSON line: predicted and
measured seconds of features, training and evaluation, bytes of the store, and their ratios,
predicted over measured. Training is measured as the run itself says it (steps, reading,
checkpoints); features are the images over the rate of extraction in the run's log, since the plan
has Ray's start apart. With --check, exits 1 where a ratio is outside 0.67 to 1.5.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

BOUND = 1.5
_WORKERS = (1, 2)
_RATE = re.compile(r"features: (\d+)/\d+ images, ([\d.]+) images/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True, help="images/, labels/, train.txt, val.txt")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder")
    parser.add_argument("--backbone")
    parser.add_argument("--weights")
    parser.add_argument("--clusters", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--precision", default="auto", help="train.precision")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    recipe = [
        *("--recipe", "folder", "paper", "--data.root", options.data),
        *("--data.num-views", str(options.views), "--train.epochs", str(options.epochs)),
        *("--eigen.num-eigenfunctions", str(options.clusters)),
        *("--train.precision", options.precision),
        *("--train.store", str(options.out / "store")),
    ]
    if options.backbone:
        recipe += ["--backbone.name", options.backbone, "--backbone.weights", options.weights]
    plans = {w: raynef("plan", *recipe, "--workers", str(w)) for w in _WORKERS}
    found: dict[str, dict[str, Any]] = {}
    for workers in _WORKERS:
        run = options.out / f"workers-{workers}"
        result = raynef("train", *recipe, "--train.num-workers", str(workers), "--out", str(run))
        planned = plans[workers]["hours"]["training"] * 3600
        found[f"training_{workers}"] = compared(planned, result["seconds"])
    run = options.out / "workers-1"
    planned = plans[1]
    found["features"] = compared(planned["hours"]["features"] * 3600, seconds_of_features(run))
    scored = raynef("evaluate", str(run))
    rate = scored["images_per_second"]
    found["evaluation"] = compared(
        planned["hours"]["evaluation"] * 3600, scored["num_images"] / rate
    )
    written = sum(file.stat().st_size for file in (options.out / "store").iterdir())
    found["store_bytes"] = compared(planned["bytes"]["store"], written)
    sys.stdout.write(json.dumps({"busy": busy(planned), **found}) + "\n")
    wrong = {
        name: value["ratio"]
        for name, value in found.items()
        if not 1 / BOUND <= value["ratio"] <= BOUND
    }
    if options.check and wrong:
        sys.exit(f"outside 1/{BOUND} to {BOUND}: {wrong}")


def raynef(*arguments: str) -> dict[str, Any]:
    """The JSON line of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "raynef", *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def seconds_of_features(run: Path) -> float:
    """Of extraction, once its first images were done, for all of them."""
    last = _RATE.findall((run / "log.txt").read_text())[-1]
    return int(last[0]) / float(last[1])


def compared(planned: float, measured: float) -> dict[str, float]:
    return {
        "planned": round(planned, 2),
        "measured": round(measured, 2),
        "ratio": round(planned / measured, 3),
    }


def busy(planned: dict[str, Any]) -> bool:
    """Whether the plan says that other work shared the machine while it measured."""
    return any("other work" in line for line in planned["assumed"])


if __name__ == "__main__":
    main()
