"""A run's folder: held by one process, bound to one recipe, with a record of what made it.

RUN/run.json         kind (ours, or a baseline), recipe, versions, git commit, machine, command, and
                     where they apply started_from (another run) and lengths (epochs, one by one)
RUN/images.jsonl     the images that it is made of: see ``inputs``
RUN/log.txt          what was said, with times, and how it ended
RUN/state.json       where it stands, for raynef status
RUN/store/           features, unless train.store names another place
RUN/checkpoints/     the last two epochs, and the latest state between
RUN/tensorboard/, wandb/, loggers/      logs, and by what they are found again
RUN/steps.jsonl      the terms of L at every step
RUN/segmenter/       the product
RUN/train.json       the result: present when training is done
RUN/evaluate.json, RUN/report.html, RUN/report-no-images.html
RUN/before/N/        product, result, scores and report of N epochs, of a run that was lengthened
"""

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynef import __version__
from raynef.config.recipe import Recipe, from_dict, may_change, to_dict
from raynef.core.errors import UserError
from raynef.io.files import read_json, write_json
from raynef.io.holds import locked
from raynef.io.log import LEAVES, logged

SEEDS = "seeds.json"
"""In a folder of several runs that differ in their seed alone: which seeds there are."""
COMMIT_OF_SENDER = "RAYNEF_GIT_COMMIT"
"""Environment variable that goes along with a package shipped to a cluster."""
_PACKAGES = ("raynef", "torch", "torchvision", "timm", "ray", "numpy", "pyarrow", "faiss-cpu")


def report_name(*, images: bool) -> str:
    """The page of a run or of a sweep; one without images never replaces one that has them."""
    return "report.html" if images else "report-no-images.html"


class _Part:
    """A file or folder of a run."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: "RunFolder", owner: type) -> Path:
        return run.path / self.name


@dataclass(frozen=True)
class StartedFrom:
    """What ``--init-from`` named: a run or segmenter, and whether it saw labels."""

    run: str
    labels_leaked: bool


@dataclass(frozen=True)
class RunRecord:
    """run.json, as far as it is read: see the module.

    ``lengths`` are the epochs that the run was given, one after the other, where it was lengthened.
    """

    kind: str
    recipe: dict[str, Any]
    environment: dict[str, Any]
    lengths: list[int]
    started_from: StartedFrom | None


@dataclass(frozen=True)
class RunFolder:
    """Where the parts of a run lie."""

    path: Path

    record_file = _Part("run.json")
    train_file = _Part("train.json")
    evaluate_file = _Part("evaluate.json")
    steps_file = _Part("steps.jsonl")
    report_file = _Part(report_name(images=True))
    plain_report_file = _Part(report_name(images=False))
    images = _Part("images.jsonl")
    store = _Part("store")
    segmenter = _Part("segmenter")
    checkpoints = _Part("checkpoints")

    def record(self) -> RunRecord:
        """run.json. Raises UserError where there is no run."""
        if not self.record_file.is_file():
            raise UserError(f"{self.path} is not a raynef run: run.json not found")
        try:
            values = read_json(self.record_file)
            started = values.get("started_from")
            return RunRecord(
                values.get("kind", "ours"),
                values["recipe"],
                values.get("environment", {}),
                values.get("lengths", []),
                StartedFrom(started["run"], started["labels_leaked"]) if started else None,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.record_file} is damaged: {error!r}") from error

    def recipe(self) -> Recipe:
        """The recipe that the run is bound to. Raises UserError where it is of another version."""
        record = self.record()
        try:
            return from_dict(record.recipe, source=str(self.record_file))
        except UserError as error:
            raise UserError(f"{error} {_written_by(record.environment)}") from error

    def finished(self) -> dict[str, Any] | None:
        """The result of training, or None while there is none."""
        return read_json(self.train_file) if self.train_file.is_file() else None

    def set_aside_result(self, name: str) -> None:
        """Move product, result, scores and reports to RUN/before/NAME; the result, which means that
        the run is finished, goes last, so that a kill between leaves all of it to do again."""
        folder = self.path / "before" / name
        folder.mkdir(parents=True, exist_ok=True)
        scores = sorted([*self.path.glob("evaluate*.json"), *self.path.glob("score-*.json")])
        reports = (self.report_file, self.plain_report_file)
        for path in (*scores, *reports, self.segmenter, self.train_file):
            if path.exists():
                if (folder / path.name).is_dir():
                    shutil.rmtree(folder / path.name)
                path.replace(folder / path.name)


def runs_of(path: str | Path) -> list[Path]:
    """The runs of a folder made with several seeds; else the folder itself, alone."""
    path = Path(path)
    if not (path / SEEDS).is_file():
        return [path]
    try:
        return [path / f"seed-{int(seed)}" for seed in read_json(path / SEEDS)["seeds"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path / SEEDS} is damaged: {error!r}") from error


@contextlib.contextmanager
def hold(
    path: str | Path, recipe: Recipe | None = None, *, kind: str = "ours"
) -> Iterator[RunFolder]:
    """Hold a run's folder, so that no other process may, and only for the recipe of the run.

    Args:
        path: the folder; made if a recipe is given.
        recipe: of a run that starts or goes on; None to work on a run that is there.
        kind: of such a run: what it makes of the recipe.

    Raises:
        UserError: another live process holds the folder, it belongs to another recipe (what
            differs is named), or it is not a raynef run.
    """
    run = RunFolder(Path(path).absolute())
    if recipe is None:
        run.record()
    elif run.path.exists() and not run.path.is_dir():
        raise UserError(f"--out {path} is a file, not a folder")
    elif run.path.is_dir() and any(run.path.iterdir()) and not _is_ours(run):
        raise UserError(f"--out {path} is not empty and no run of raynef; give another folder")
    with locked(run.path, f"another live run holds {path}; wait for it, or give another --out"):
        if recipe is not None:
            _require_same_recipe(run, recipe, kind)
        with logged(run.path):
            yield run


def _is_ours(run: RunFolder) -> bool:
    """A run, or what a run leaves that was killed in its first moments."""
    return run.record_file.is_file() or {p.name for p in run.path.iterdir()} <= LEAVES


def bind(
    run: RunFolder, recipe: Recipe, *, kind: str = "ours", started_from: StartedFrom | None = None
) -> None:
    """Fix the recipe of a run that is held, and record what it is made with, at its first start.

    Later, what may change is noted as it is now: see ``raynef.config.recipe.may_change``. More
    epochs are noted beside the fewer before. ``started_from`` is of a warm start.
    """
    values: dict[str, Any] = {"recipe": to_dict(recipe)}
    if not run.record_file.is_file():
        values = {"kind": kind, **values, "environment": environment()}
        if started_from:
            values["started_from"] = vars(started_from)
        write_json(run.record_file, values)
        return
    found = run.record()
    if found.recipe != values["recipe"]:
        before = found.lengths or [run.recipe().train.epochs]
        if recipe.train.epochs > before[-1]:
            values["lengths"] = [*before, recipe.train.epochs]
        write_json(run.record_file, {**read_json(run.record_file), **values})


def _require_same_recipe(run: RunFolder, recipe: Recipe, kind: str) -> None:
    if not run.record_file.is_file():
        return
    there = run.record().kind
    if there != kind:
        raise UserError(f"{run.path} holds a run of kind {there}, not {kind}; give another --out")
    found, free = run.recipe(), may_change(kind, recipe)  # a field that came later has its default
    if kind == "ours":
        if recipe.train.epochs < found.train.epochs:
            raise UserError(
                f"{run.path} trains for {found.train.epochs} epochs, and train.epochs = "
                f"{recipe.train.epochs} would shorten it; what is trained is not undone: give "
                "another --out"
            )
        free |= {"train.epochs"}  # more of them: it goes on from its last checkpoint
    differing = differing_fields(found, recipe, besides=free)
    if differing:
        raise UserError(
            f"{run.path} belongs to another recipe: {'; '.join(differing)}. Give another --out"
        )


def differing_fields(found: Recipe, wanted: Recipe, *, besides: frozenset[str]) -> list[str]:
    """What differs between two recipes besides some fields, one phrase each."""
    there = to_dict(found)
    return [
        f"{section}.{name} is {there[section][name]!r}, not {value!r}"
        for section, fields in to_dict(wanted).items()
        for name, value in fields.items()
        if there[section][name] != value and f"{section}.{name}" not in besides
    ]


def _written_by(made: dict[str, Any]) -> str:
    """What wrote a record, beside what reads it now."""

    def at(commit: str | None) -> str:
        return f", commit {commit[:12]}" if commit else ""

    then = made.get("versions", {}).get("raynef", "of unknown version") + at(made.get("git_commit"))
    return f"(It was written by raynef {then}; this is raynef {__version__}{at(git_commit())}.)"


def environment() -> dict[str, Any]:
    """Versions, git commit, machine and command, as saved with every run."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": {"python": platform.python_version(), **versions},
        "git_commit": git_commit(),
        "machine": {
            "platform": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        },
    }


def git_commit() -> str | None:
    """The commit that the package runs from, with '-dirty' after uncommitted changes, or None.

    A package that was shipped to a cluster has its commit from where it was sent.
    """
    source = Path(__file__).resolve().parents[2]
    if not (source / ".git").exists():
        return os.environ.get(COMMIT_OF_SENDER)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(source), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
