"""A small job, whole: extract, train, evaluate, tune; and what it came to."""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from raynef.demo.scenes import write_scenes
from tests.faults.command import Command

SIDE, BATCH = 128, 8
ALPHAS = (0.1, 0.3, 0.5)


@dataclass(frozen=True)
class Job:
    """Commands on a sample of rendered scenes, with the bundled backbone.

    Attributes:
        data: the sample.
        num_train: its scenes to train on.
        epochs: of the training; trials of the sweep have two.
    """

    data: Path
    num_train: int = 120
    epochs: int = 4

    @staticmethod
    def on(folder: Path, *, num_train: int = 120, num_val: int = 16) -> "Job":
        """A job on a sample that is rendered where it is not there."""
        data = folder / "sample"
        if not data.is_dir():
            write_scenes(data, num_train=num_train, num_val=num_val)
        return Job(data, num_train=num_train)

    @property
    def num_steps(self) -> int:
        """Of the training."""
        return self.epochs * (self.num_train // BATCH)

    def flags(self) -> list[str]:
        return [
            *("--data.root", str(self.data), "--data.num-views", "4"),
            *("--data.short-side", str(SIDE), "--data.crop", str(SIDE)),
            *("--graph.num-neighbors", "32", "--eigen.num-eigenfunctions", "24"),
            *("--evaluate.short-side", str(SIDE), "--evaluate.crop", str(SIDE)),
            *("--train.batch-size", str(BATCH)),
        ]

    def extract(self, out: Path) -> list[str]:
        return ["extract", "--ray", "--out", str(out / "store"), *self.flags()]

    def train(self, out: Path) -> list[str]:
        return [
            *("train", "--ray", "--out", str(out / "run"), *self.flags()),
            *("--train.store", str(out / "store"), "--train.epochs", str(self.epochs)),
        ]

    def evaluate(self, out: Path) -> list[str]:
        return ["evaluate", "--ray", str(out / "run")]

    def tune(self, out: Path) -> list[str]:
        space = out / "space.yaml"
        if not space.is_file():
            out.mkdir(parents=True, exist_ok=True)
            space.write_text(
                f"title: faults\naxes: {{graph.alpha: {{grid: {list(ALPHAS)}}}}}\n"
                "rows: [data]\ncolumns: graph.alpha\n"
            )
        flags = [*self.flags(), "--train.epochs", "2"]
        return ["tune", str(space), "--out", str(out / "sweep"), *flags]

    def steps(self, out: Path) -> dict[str, list[str]]:
        """The commands in their order."""
        return {
            "extract": self.extract(out),
            "train": self.train(out),
            "evaluate": self.evaluate(out),
            "tune": self.tune(out),
        }


def undisturbed(job: Job, out: Path) -> dict[str, float]:
    """Do the job once; the seconds of each command."""
    seconds = {}
    for name, command in job.steps(out).items():
        started = time.monotonic()
        Command(command).result()
        seconds[name] = time.monotonic() - started
    return seconds


def digests(store: Path) -> dict[str, str]:
    """Of every shard of a store."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(store.glob("*.parquet"))
    }


def weights(run: Path) -> str:
    """Digest of a run's segmenter."""
    return hashlib.sha256((run / "segmenter" / "model.safetensors").read_bytes()).hexdigest()


def scores(out: Path) -> dict[str, float]:
    """mIoU of the run, and of every trial of the sweep by its name."""
    return {"run": _read(out / "run" / "evaluate.json")["miou"], **trial_scores(out)}


def trial_scores(out: Path) -> dict[str, float]:
    """mIoU of every trial of the sweep by its name."""
    found = sorted((out / "sweep" / "trials").glob("*/result.json"))
    return {path.parent.name: _read(path)["scores"][0]["miou"] for path in found}


def _read(path: Path) -> dict:
    return json.loads(path.read_text())


def times(folder: Path, pattern: str) -> dict[Path, float]:
    """When each file was written."""
    return {path: path.stat().st_mtime for path in folder.glob(pattern)}
