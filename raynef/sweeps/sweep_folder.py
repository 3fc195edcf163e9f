"""A sweep's folder, read: what was asked for, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raynef.core.errors import UserError
from raynef.io.files import read_json
from raynef.report.ablation import Score
from raynef.sweeps.catalog import METRICS
from raynef.sweeps.comparison import SUPERVISED


@dataclass(frozen=True)
class SweepFolder:
    """A sweep as it is, finished or not.

    Attributes:
        path: of its folder.
        record: sweep.json.
    """

    path: Path
    record: dict[str, Any]

    @property
    def space(self) -> dict[str, Any]:
        """The space that was swept, as plain values."""
        return self.record["space"]

    def trial(self, name: str, file: str) -> dict[str, Any] | None:
        """One of a trial's files: trial, result, error or stopped."""
        path = self.path / "trials" / name / f"{file}.json"
        return read_json(path) if path.is_file() else None

    def missing(self, name: str) -> str | None:
        """Why a trial has no scores."""
        if self.trial(name, "error"):
            return "failed"
        stopped = self.trial(name, "stopped")
        return f"stopped at epoch {stopped.get('epoch')}" if stopped else None

    def score(self, cell: Mapping[str, Any]) -> Score | None:
        """The score of a cell; None while there is none."""
        result, trial = self.trial(cell["trial"], "result"), self.trial(cell["trial"], "trial")
        if result is None or trial is None:
            return None
        for found in result["scores"]:
            if (found["method"], found["score"]) == (cell["method"], cell["score"]):
                values = {metric: found[metric] for metric in METRICS if metric in found}
                if result.get("objective") is not None:
                    values["objective"] = result["objective"]
                leaked = trial["recipe"]["train"]["leak_labels"] or cell["method"] in SUPERVISED
                return Score(
                    where=cell["where"],
                    seed=cell["seed"],
                    values=values,
                    num_images=found["num_images"],
                    run=str(Path("trials") / cell["trial"] / found["run"]),
                    leaked=leaked,
                )
        return None


def is_sweep(path: str | Path) -> bool:
    """Whether a folder is a sweep's."""
    return (Path(path) / "sweep.json").is_file()


def open_sweep(path: str | Path) -> SweepFolder:
    """Open a sweep's folder. Raises UserError where it is none."""
    path = Path(path).absolute()
    if not is_sweep(path):
        raise UserError(f"{path} is no sweep (it has no sweep.json)")
    try:
        record = read_json(path / "sweep.json")
        missing = {"space", "cells", "trials", "data", "seeds", "environment"} - record.keys()
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path / 'sweep.json'} is damaged: {error!r}") from error
    if missing:
        raise UserError(f"{path / 'sweep.json'} is damaged: it lacks {', '.join(sorted(missing))}")
    return SweepFolder(path, record)
