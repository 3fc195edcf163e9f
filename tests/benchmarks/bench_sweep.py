"""What a sweep costs beside its trainings: eight trials of two epochs, one at a time.

    python tests/benchmarks/bench_sweep.py --data DIR --out DIR [--backbone NAME --weights FILE]

The whole command is timed from a cold start, with table and report. Taken from it is the time until
the store is there, Ray's start among it. What is left is held against

- the trainings by hand: ``raynef train`` of single trials after it, on the same store, which must
  come to the scores of the sweep, and ``raynef evaluate`` of each;
- the trials, which are trained and scored within the sweep;
- the steps of the trainings alone, as each says itself.

With --check, exits 1 where what is left is more than 1.08 times the trainings by hand, or more
than 1.15 times the steps: trials of two epochs in bfloat16 do not reach that.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

BOUNDS = {"over_trainings_by_hand": 1.08, "over_steps": 1.15}
ALPHAS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True, help="images/, labels/, train.txt, val.txt")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder")
    parser.add_argument("--backbone")
    parser.add_argument("--weights")
    parser.add_argument("--clusters", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--by-hand", type=int, default=3, help="trials that are made by hand too")
    parser.add_argument("--precision", default="auto", help="train.precision")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    space = options.out / "space.yaml"
    space.write_text(
        yaml.safe_dump(
            {
                "title": "bench",
                "axes": {"graph.alpha": {"grid": ALPHAS}},
                "rows": ["data"],
                "columns": "graph.alpha",
                "metrics": ["miou"],
            }
        )
    )
    sweep = options.out / "sweep"
    line = [
        *("tune", str(space), "--data.root", options.data),
        *("--train.epochs", str(options.epochs)),
        *("--eigen.num-eigenfunctions", str(options.clusters)),
        *("--train.precision", options.precision, "--max-concurrent", "1", "--out", str(sweep)),
    ]
    if options.backbone:
        line += ["--backbone.name", options.backbone, "--backbone.weights", options.weights]
    started = time.time()
    whole = _seconds(line)

    (manifest,) = sweep.glob("features/*/manifest.json")
    extraction = manifest.stat().st_mtime - started
    folders = [path.parent for path in sorted(sweep.glob("trials/*/result.json"))]
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    step = max(1, len(folders) // max(1, options.by_hand))
    chosen = folders[::step][: options.by_hand]
    by_hand = [_by_hand(folder, manifest.parent, options.out) for folder in chosen]

    left, count = whole - extraction, len(results)
    steps = sum(result["training_seconds"] for result in results)
    trials = sum(result["seconds"] for result in results)
    trainings = count * sum(train for train, _ in by_hand) / len(by_hand)
    evaluations = count * sum(score for _, score in by_hand) / len(by_hand)
    found: dict[str, Any] = {
        "trials": count,
        "sweep_s": round(whole, 1),
        "extraction_s": round(extraction, 1),
        "by_hand_s": [[round(train, 1), round(score, 1)] for train, score in by_hand],
        "trials_s": round(trials, 1),
        "steps_s": round(steps, 1),
        "over_trainings_by_hand": round(left / trainings, 3),
        "over_trainings_and_evaluations_by_hand": round(left / (trainings + evaluations), 3),
        "over_trials": round(left / trials, 3),
        "over_steps": round(left / steps, 3),
    }
    sys.stdout.write(json.dumps(found) + "\n")
    missed = [
        f"{name} = {found[name]}, not <= {bound}"
        for name, bound in BOUNDS.items()
        if found[name] > bound
    ]
    if options.check and missed:
        sys.exit("; ".join(missed))


def _by_hand(trial: Path, store: Path, out: Path) -> tuple[float, float]:
    """Seconds of ``raynef train`` and of ``raynef evaluate`` of a trial's recipe."""
    recipe, run = out / f"{trial.name}.yaml", out / "by-hand" / trial.name
    recipe.write_text(yaml.safe_dump(json.loads((trial / "trial.json").read_text())["recipe"]))
    training = _seconds(
        ["train", "--recipe", str(recipe), "--train.store", str(store), "--out", str(run)]
    )
    evaluation = _seconds(["evaluate", str(run)])
    found, expected = (
        json.loads((of / "evaluate.json").read_text())["miou"] for of in (run, trial / "run")
    )
    if found != expected:
        sys.exit(f"{trial.name}: mIoU {expected} in the sweep, {found} by hand")
    return training, evaluation


def _seconds(command: list[str]) -> float:
    """Of a command of raynef, from a cold start."""
    started = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "raynef", *command], check=True, stdout=subprocess.DEVNULL
    )
    return time.monotonic() - started


if __name__ == "__main__":
    main()
