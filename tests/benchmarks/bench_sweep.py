"""What a sweep costs beside its trainings: eight trials of two epochs, one at a time.

    python tests/benchmarks/bench_sweep.py --data DIR --out DIR [--backbone NAME --weights FILE]

The whole command is timed from a cold start, with table and report. Taken from it is the time until
the store is there, Ray's start among it; what is left is held against the trainings, as each says
itself (steps, reading, checkpoints), and against the whole trials, which are scored too. With
--check, exits 1 where what is left is more than 1.15 times the trainings.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import yaml

BOUND = 1.15
ALPHAS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True, help="images/, labels/, train.txt, val.txt")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder")
    parser.add_argument("--backbone")
    parser.add_argument("--weights")
    parser.add_argument("--clusters", type=int, default=128)
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
        *(sys.executable, "-m", "raynef", "tune", str(space), "--data.root", options.data),
        *("--train.epochs", "2", "--eigen.num-eigenfunctions", str(options.clusters)),
        *("--train.precision", options.precision, "--max-concurrent", "1", "--out", str(sweep)),
    ]
    if options.backbone:
        line += ["--backbone.name", options.backbone, "--backbone.weights", options.weights]
    started = time.time()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
    whole = time.time() - started

    (manifest,) = sweep.glob("features/*/manifest.json")
    extraction = manifest.stat().st_mtime - started
    results = [json.loads(path.read_text()) for path in sweep.glob("trials/*/result.json")]
    trainings = sum(result["training_seconds"] for result in results)
    trials = sum(result["seconds"] for result in results)
    found = {
        "trials": len(results),
        "sweep_s": round(whole, 1),
        "extraction_s": round(extraction, 1),
        "trainings_s": round(trainings, 1),
        "trials_s": round(trials, 1),
        "over_trainings": round((whole - extraction) / trainings, 3),
        "over_trials": round((whole - extraction) / trials, 3),
    }
    sys.stdout.write(json.dumps(found) + "\n")
    if options.check and found["over_trainings"] > BOUND:
        sys.exit(f"over_trainings = {found['over_trainings']}, not <= {BOUND}")


if __name__ == "__main__":
    main()
