"""Which trials a sweep runs: a list that is known before, or what Optuna suggests as it goes.

The folders of the trials say what is done, also where Optuna learns from it: a study is made anew
of them when a sweep is resumed. A storage of Optuna's would be a second record, which lacks what
was finished as the driver died, and knows one metric alone.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from raynef.config.recipe import Recipe
from raynef.core.draws import seed_of
from raynef.core.errors import UserError
from raynef.io.files import read_json
from raynef.sweeps.space import Axis, Space
from raynef.sweeps.state import TrialRecord, TrialState, folder_of, note_failure, state_of
from raynef.sweeps.sweep import Plan, Trial, grid_of

Point = Mapping[str, Any]


class FixedTrials:
    """Trials that are known before: a grid, or points drawn at random."""

    def __init__(self, planned: Plan, out: Path) -> None:
        self._plan, self._out = planned, out
        self._trials = {trial.name: trial for trial in planned.trials}
        self._left = [
            name
            for name, trial in self._trials.items()
            if state_of(out, trial).state not in ("done", "stopped")
        ]

    def plan(self) -> Plan:
        """All trials that are known, and their cells."""
        return self._plan

    def total(self) -> int:
        """Trials of the sweep."""
        return len(self._trials)

    def num_left(self) -> int:
        """Trials that are still to be run."""
        return len(self._left)

    def recipes(self) -> list[Recipe]:
        """Of what is left, one for each set of features at least."""
        return [self._trials[name].recipe for name in self._left]

    def give_up(self, recipe: Recipe, error: str) -> None:
        """Mark the trials that need the same features as failed."""
        for name in list(self._left):
            if self._trials[name].recipe == recipe:
                note_failure(folder_of(self._out, name), error)
                self._left.remove(name)

    def resolve(self, config: Point) -> Trial:
        """The trial that a configuration of Ray Tune means."""
        return self._trials[config["trial"]]

    def param_space(self) -> dict[str, Any]:
        """Of Ray Tune."""
        return {"trial": tune.grid_search(list(self._left))}

    def search_options(self) -> dict[str, Any]:
        """Of Ray Tune's configuration, where points are not listed."""
        return {}


class OptunaTrials:
    """Trials that Optuna suggests; it learns from those that are done, of earlier sessions too.

    ``planned`` makes trials of points; ``seed`` is of Optuna's draws.
    """

    def __init__(
        self, space: Space, planned: Callable[[Sequence[Point]], Plan], out: Path, *, seed: int
    ) -> None:
        assert space.search is not None
        for axis in space.axes:
            section = axis.key.partition(".")[0]
            if axis.distribution == "grid":
                raise UserError(f"{space.source}: optuna draws every axis: {axis.key} is a grid")
            if section in ("data", "backbone") and axis.distribution != "choice":
                raise UserError(
                    f"{space.source}: {axis.key} changes the features, which are made before; "
                    "list its values with choice"
                )
        try:
            import optuna

            optuna.logging.set_verbosity(optuna.logging.WARNING)
        except ImportError as error:
            raise UserError(
                "search.algorithm optuna needs the package optuna: pip install 'raynef[optuna]'"
            ) from error
        self._space, self._search, self._planned = space, space.search, planned
        self._out, self._seed = out, seed

    def plan(self) -> Plan:
        points = [point for point, _, _ in self._begun()]
        return self._planned(points) if points else Plan((), ())

    def total(self) -> int:
        return self._search.num_samples

    def num_left(self) -> int:
        return max(0, self.total() - sum(state.state in _OVER for _, _, state in self._begun()))

    def recipes(self) -> list[Recipe]:
        """One for each choice of the axes that change features."""
        values = [
            axis.values
            if axis.key.partition(".")[0] in ("data", "backbone")
            else [plain(domain(axis).sample(random_state=np.random.default_rng(0)))]
            for axis in self._space.axes
        ]
        keys = [axis.key for axis in self._space.axes]
        points = [dict(zip(keys, point, strict=True)) for point in itertools.product(*values)]
        return [trial.recipe for trial in self._planned(points).trials]

    def give_up(self, recipe: Recipe, error: str) -> None:
        raise UserError(error)

    def resolve(self, config: Point) -> Trial:
        return self._planned([{key: plain(value) for key, value in config.items()}]).trials[0]

    def param_space(self) -> dict[str, Any]:
        return {}  # the searcher has it

    def search_options(self) -> dict[str, Any]:
        return {"num_samples": self.num_left(), "search_alg": self._searcher()}

    def _searcher(self) -> Any:
        metric, begun = self._search.metric, list(self._begun())
        over = [entry for entry in begun if entry[2].state in _OVER]
        unfinished = [dict(point) for point, _, state in begun if state.state not in _OVER]
        searcher = _searcher_class()(
            metric=metric,
            mode="max",
            seed=seed_of("optuna", self._seed, len(over)) % (1 << 31),
            points_to_evaluate=unfinished or None,
        )
        domains = {axis.key: domain(axis) for axis in self._space.axes}
        searcher.set_search_properties(metric, "max", domains)
        for point, trial, state in over:
            value = _reached(trial, state, metric)
            if value is not None:
                searcher.add_evaluated_point(dict(point), value)
        return searcher

    def _begun(self) -> Iterator[tuple[Point, Trial, TrialState]]:
        """Trials of this space that have a folder, with what became of them."""
        keys = {axis.key for axis in self._space.axes}
        for file in sorted((self._out / "trials").glob("*/trial.json")):
            record = TrialRecord.read(read_json(file))
            if record.point.keys() == keys:
                trial = self.resolve(record.point)
                if trial.name == record.name:
                    yield record.point, trial, state_of(self._out, trial)


Trials = FixedTrials | OptunaTrials
_OVER = ("done", "failed", "stopped")


def _reached(trial: Trial, state: TrialState, metric: str) -> float | None:
    """What a trial came to that is done, failed or stopped."""
    if state.state == "done" and state.result is not None:
        known = {**state.result.first(trial).values, **state.result.label_free()}
        return known.get(metric)
    return state.stopped.get(metric) if state.state == "stopped" else None


def _searcher_class() -> type:
    """Optuna's searcher, which here is silent on results without its metric: mIoU is there at
    rungs alone, and a failed trial has none."""
    from ray.tune.search.optuna import OptunaSearch

    class Searcher(OptunaSearch):
        def on_trial_result(self, trial_id: str, result: dict) -> None:
            if self.metric in result:
                super().on_trial_result(trial_id, result)

        def on_trial_complete(
            self, trial_id: str, result: dict | None = None, error: bool = False
        ) -> None:
            known = result is not None and self.metric in result
            super().on_trial_complete(trial_id, result if known else None, error or not known)

    return Searcher


def drawn_points(space: Space, *, seed: int) -> list[dict[str, Any]]:
    """The points of a space: of its grid, each with as many draws as the search has samples."""
    drawn = [axis for axis in space.axes if axis.distribution != "grid"]
    if space.search is None:
        return list(grid_of(space))
    random = np.random.default_rng(seed_of("space", seed))
    return [
        {**point, **{axis.key: plain(domain(axis).sample(random_state=random)) for axis in drawn}}
        for point in grid_of(space)
        for _ in range(space.search.num_samples)
    ]


def domain(axis: Axis) -> Any:
    """An axis in Tune's own terms."""
    if axis.distribution == "choice":
        return tune.choice(list(axis.values))
    return getattr(tune, axis.distribution)(*axis.values)


def plain(value: Any) -> Any:
    """Searchers hand out numpy's numbers; a recipe takes Python's."""
    return value.item() if isinstance(value, np.generic) else value
