"""A sweep's folder: what was asked for, in sweep.json, and what became of every trial."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from raynef.core.errors import UserError
from raynef.io.files import read_json, without_infinity, write_json
from raynef.report.ablation import Score
from raynef.stores.run import environment
from raynef.sweeps.methods import METHODS
from raynef.sweeps.space import Space
from raynef.sweeps.state import TrialRecord, TrialState, folder_of, read_state
from raynef.sweeps.sweep import Cell, DataSet, Plan, Target

_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Images:
    """A data set of a sweep: its name in tables, its preset, and where it is."""

    name: str
    preset: str
    root: str | None = None


@dataclass(frozen=True)
class SweepRecord:
    """sweep.json: the space, where it was swept, and every cell of the table with its trial."""

    space: Space
    data: Sequence[Images]
    targets: Sequence[Images]
    seeds: Sequence[int]
    environment: Mapping[str, Any]
    trials: Sequence[TrialRecord] = ()
    cells: Sequence[Cell] = ()

    def write(self, out: Path, planned: Plan) -> None:
        """Write the record with the trials and cells of a plan."""
        rows = [{"name": t.name, "about": t.about, "point": t.point} for t in planned.trials]
        plain = {**asdict(replace(self, cells=planned.cells)), "trials": rows}
        write_json(out / "sweep.json", without_infinity({**plain, "space": self.space.plain()}))

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "SweepRecord":
        """From JSON. Raises what shows that it is damaged."""
        kinds = {"data": Images, "targets": Images, "trials": TrialRecord, "cells": Cell}
        rows = {name: [kind(**row) for row in plain.get(name, ())] for name, kind in kinds.items()}
        space = Space.read(plain["space"])
        return cls(space, seeds=plain["seeds"], environment=plain["environment"], **rows)


def record_of(
    space: Space, data: Sequence[DataSet], targets: Sequence[Target], seeds: Sequence[int]
) -> SweepRecord:
    """The record of a sweep that begins here and now."""
    trained = [Images(d.name, d.recipe.data.name, d.recipe.data.root) for d in data]
    scored = [Images(target.name, target.data.name, target.data.root) for target in targets]
    return SweepRecord(space, trained, scored, list(seeds), environment())


@dataclass(frozen=True)
class SweepFolder:
    """A sweep as it is, finished or not.

    Attributes:
        path: of its folder.
        record: sweep.json.
        tolerant: a trial whose files are damaged is so by its state; else reading raises.
    """

    path: Path
    record: SweepRecord
    tolerant: bool = False

    @property
    def space(self) -> Space:
        """The space that was swept."""
        return self.record.space

    @cached_property
    def states(self) -> Mapping[str, TrialState]:
        """What became of each trial, by its name; read once."""
        wanted: dict[str, set[tuple[str, str]]] = {t.name: set() for t in self.record.trials}
        for cell in self.record.cells:
            wanted.setdefault(cell.trial, set()).add((cell.method, cell.score))
        states = {}
        for name, scores in wanted.items():
            try:
                states[name] = read_state(folder_of(self.path, name), scores)
            except _DAMAGED as error:
                if not self.tolerant:
                    raise
                states[name] = TrialState("damaged", error=f"{type(error).__name__}: {error}")
        return states

    def score(self, cell: Cell) -> Score | None:
        """The score of a cell; None while there is none."""
        state = self.states[cell.trial]
        if state.result is None or state.record is None:
            return None
        found = state.result.score(cell.method, cell.score)
        if found is None:
            return None
        leaked = state.record.recipe["train"]["leak_labels"] or METHODS[cell.method].supervised
        return Score(
            where=cell.where,
            seed=cell.seed,
            values={**found.values, **state.result.label_free()},
            num_images=found.num_images,
            run=str(Path("trials") / cell.trial / found.run),
            leaked=leaked,
        )

    def scores(self) -> list[Score]:
        """Of all cells that have one."""
        return [score for cell in self.record.cells if (score := self.score(cell)) is not None]


def is_sweep(path: str | Path) -> bool:
    """Whether a folder is a sweep's."""
    return (Path(path) / "sweep.json").is_file()


def open_sweep(path: str | Path, *, tolerant: bool = False) -> SweepFolder:
    """Open a sweep's folder. Raises UserError where it is none."""
    path = Path(path).absolute()
    file = path / "sweep.json"
    if not is_sweep(path):
        raise UserError(f"{path} is no sweep (it has no sweep.json)")
    try:
        plain = read_json(file)
        missing = {"space", "cells", "trials", "data", "seeds", "environment"} - plain.keys()
        if not missing:
            return SweepFolder(path, SweepRecord.read(plain), tolerant)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged: {error!r}") from error
    raise UserError(f"{file} is damaged: it lacks {', '.join(sorted(missing))}")
