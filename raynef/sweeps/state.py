"""A trial's folder: what was noted of it, and the one place that says what became of it.

SWEEP/trials/NAME/trial.json     what it is, and the values of the axes
SWEEP/trials/NAME/result.json    its scores: present when it is done
SWEEP/trials/NAME/error.json     why it failed
SWEEP/trials/NAME/stopped.json   where a search stopped it
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from raynef.io.files import read_json, write_json
from raynef.io.holds import is_held
from raynef.sweeps.methods import METRICS
from raynef.sweeps.sweep import Trial, score_key

State = Literal["done", "failed", "stopped", "working", "begun", "to come", "damaged"]


def known(record: type, plain: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a record's fields that plain values hold."""
    return {field.name: plain[field.name] for field in fields(record) if field.name in plain}


def _require(values: Mapping[str, Any], *keys: str) -> None:
    missing = [key for key in keys if key not in values]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")


@dataclass(frozen=True)
class RunScore:
    """The score of a run: metrics, 0 to 1, and the sections of the recipe that scored it.

    Within a trial it has its ``method``, ``score``, the key of data and protocol, and ``run``, the
    method's folder as seen from the trial's.
    """

    values: Mapping[str, float]
    num_images: int
    commit: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    evaluate: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    score: str = ""
    run: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells the scores of a trial apart."""
        return self.method, self.score

    def plain(self) -> dict[str, Any]:
        """For JSON, where the metrics stand beside the rest."""
        rest = {name: value for name, value in vars(self).items() if value != ""}
        return {**rest.pop("values"), **rest}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "RunScore":
        """From JSON."""
        values = {metric: float(plain[metric]) for metric in METRICS if metric in plain}
        return cls(**{**known(cls, plain), "values": values})


@dataclass(frozen=True)
class TrialResult:
    """What a trial came to; the objective of one that trained ψ, its agreement where that steers a
    search, seconds where they were taken."""

    scores: tuple[RunScore, ...]
    training_seconds: float | None = None
    objective: float | None = None
    agreement: float | None = None
    seconds: float | None = None

    def score(self, method: str, score: str) -> RunScore | None:
        """That of a method by a protocol."""
        return next((found for found in self.scores if found.key == (method, score)), None)

    def first(self, trial: Trial) -> RunScore:
        """Of the trial's first method by its first protocol."""
        key = (trial.methods[0], score_key(trial.scores[0]))
        return next(found for found in self.scores if found.key == key)

    def label_free(self) -> dict[str, float]:
        """What is known of it without labels, by name."""
        found = {"objective": self.objective, "agreement": self.agreement}
        return {name: value for name, value in found.items() if value is not None}

    def plain(self) -> dict[str, Any]:
        """For result.json."""
        present = {name: value for name, value in vars(self).items() if value is not None}
        return {**present, "scores": [score.plain() for score in self.scores]}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "TrialResult":
        """From JSON. Raises what shows that it is damaged."""
        for score in plain["scores"]:
            _require(score, "method", "score", "run", "num_images")
            if "data" in score:  # which the first sweeps did not note
                _require(score["data"], "name", "root", "val_split")
        scores = tuple(RunScore.read(score) for score in plain["scores"])
        return cls(**{**known(cls, plain), "scores": scores})


@dataclass(frozen=True)
class TrialRecord:
    """What a trial is, as it was noted before it started; ``recipe`` as plain values.

    The record of a sweep has its name, its description and its point alone.
    """

    name: str = ""
    kind: str = ""
    about: str = ""
    methods: tuple[str, ...] = ()
    seed: int = 0
    point: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    commit: str | None = None

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "TrialRecord":
        """From JSON. Raises what shows that it is damaged."""
        _require(plain, "kind", "seed")
        _require(plain["recipe"]["backbone"], "name")
        _require(plain["recipe"]["train"], "epochs", "leak_labels")
        return cls(**known(cls, plain))


@dataclass(frozen=True)
class TrialState:
    """What became of a trial.

    Attributes:
        state: done once every score that is asked for is there; working while a process holds it;
            begun when it is not finished and none does; to come when it was never started.
        record: what it is; None before it started.
        result: its scores, all that are asked for where it is done.
        error: why it failed, or what is damaged.
        stopped: epoch and metrics at which a search stopped it.
    """

    state: State
    record: TrialRecord | None = None
    result: TrialResult | None = None
    error: str | None = None
    stopped: Mapping[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """For people."""
        if self.state == "stopped":
            return f"stopped at epoch {self.stopped.get('epoch')}"
        shown = {"working": "not finished", "begun": "not finished", "to come": "not run"}
        return shown.get(self.state, self.state)

    @property
    def missing(self) -> str | None:
        """Why a trial that has ended has no score."""
        return self.words if self.state in ("failed", "stopped", "damaged") else None


def read_state(folder: Path, wanted: Collection[tuple[str, str]]) -> TrialState:
    """What became of a trial, from its folder.

    Args:
        folder: may not be there.
        wanted: the scores that are asked for, as ``RunScore.key``.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError: a file is damaged.
    """

    def read(name: str) -> Any:
        file = folder / f"{name}.json"
        return read_json(file) if file.is_file() else None

    noted, found, failed, stopped = map(read, ("trial", "result", "error", "stopped"))
    record = None if noted is None else TrialRecord.read(noted)
    result = None if found is None else TrialResult.read(found)
    error = None if failed is None else str(failed["error"])
    state: State = "to come" if record is None else "begun"
    if result is not None and set(wanted) <= {score.key for score in result.scores}:
        state = "done"
    elif error is not None:
        state = "failed"
    elif stopped is not None:
        state = "stopped"
    elif is_held(folder):
        state = "working"
    return TrialState(state, record, result, error, dict(stopped or {}))


def folder_of(out: Path, name: str) -> Path:
    """Of a trial within a sweep."""
    return out / "trials" / name


def state_of(out: Path, trial: Trial) -> TrialState:
    """What became of a trial of a plan."""
    return read_state(folder_of(out, trial.name), trial.wanted)


def reported_state(report: Mapping[str, Any]) -> State:
    """What became of a trial that has ended, from the last that it reported to Ray Tune."""
    if report.get("failed"):
        return "failed"
    return "done" if report.get("done_trial") else "stopped"


def note_failure(folder: Path, error: str) -> None:
    """Write down why a trial failed."""
    write_json(folder / "error.json", {"error": error, "time": time.strftime("%FT%T%z")})


def note_stopped(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write down where a search stopped a trial."""
    kept = ("epoch", "objective", "agreement", "miou")
    write_json(folder / "stopped.json", {key: metrics[key] for key in kept if key in metrics})
