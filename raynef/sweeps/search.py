"""Which trials a sweep runs: a list that is known before, or what Optuna suggests as it goes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from ray import tune

from raynef.config.recipe import Recipe
from raynef.core.draws import seed_of
from raynef.core.errors import UserError
from raynef.io.files import read_json
from raynef.sweeps.space import Axis, Space
from raynef.sweeps.sweep import Plan, Trial, grid_of
from raynef.sweeps.trials import first_score, note_failure, result_of

Point = Mapping[str, Any]


class Trials(Protocol):
    """Where Ray Tune's trials come from."""

    def plan(self) -> Plan:
        """All trials that are known, and their cells."""
        ...

    def total(self) -> int:
        """Trials of the sweep."""
        ...

    def num_left(self) -> int:
        """Trials that are still to be run."""
        ...

    def recipes(self) -> list[Recipe]:
        """Of what is left, one for each set of features at least."""
        ...

    def give_up(self, recipe: Recipe, error: str) -> None:
        """Mark the trials that need the same features as failed."""
        ...

    def resolve(self, config: Point) -> Trial:
        """The trial that a configuration of Ray Tune means."""
        ...

    def param_space(self) -> dict[str, Any]:
        """Of Ray Tune."""
        ...

    def num_samples(self) -> int:
        """Of Ray Tune."""
        ...

    def searcher(self) -> Any:
        """Of Ray Tune; None for what is listed."""
        ...


def state_of(out: Path, trial: Trial) -> str | None:
    """done, failed, stopped, or None: not run, or not to its end."""
    if result_of(out, trial) is not None:
        return "done"
    folder = out / "trials" / trial.name
    for state, file in (("failed", "error"), ("stopped", "stopped")):
        if (folder / f"{file}.json").is_file():
            return state
    return None


class FixedTrials:
    """Trials that are known before: a grid, or points drawn at random."""

    def __init__(self, planned: Plan, out: Path) -> None:
        self._plan, self._out = planned, out
        self._trials = {trial.name: trial for trial in planned.trials}
        self._left = [
            trial.name
            for trial in planned.trials
            if state_of(out, trial) not in ("done", "stopped")
        ]

    def plan(self) -> Plan:
        return self._plan

    def total(self) -> int:
        return len(self._trials)

    def num_left(self) -> int:
        return len(self._left)

    def recipes(self) -> list[Recipe]:
        return [self._trials[name].recipe for name in self._left]

    def give_up(self, recipe: Recipe, error: str) -> None:
        for name in list(self._left):
            if self._trials[name].recipe == recipe:
                note_failure(self._out / "trials" / name, error)
                self._left.remove(name)

    def resolve(self, config: Point) -> Trial:
        return self._trials[config["trial"]]

    def param_space(self) -> dict[str, Any]:
        return {"trial": tune.grid_search(list(self._left))}

    def num_samples(self) -> int:
        return 1

    def searcher(self) -> None:
        return None


class OptunaTrials:
    """Trials that Optuna suggests; it learns from those that are done, of earlier sessions too.

    Args:
        space: with a search, and every axis drawn.
        planned: makes trials of points.
        out: folder of the sweep.
        seed: of Optuna's draws.
    """

    def __init__(
        self, space: Space, planned: Callable[[Sequence[Point]], Plan], out: Path, *, seed: int
    ) -> None:
        assert space.search is not None
        for axis in space.axes:
            section = axis.key.partition(".")[0]
            if axis.word == "grid":
                raise UserError(f"{space.source}: optuna draws every axis: {axis.key} is a grid")
            if section in ("data", "backbone") and axis.word != "choice":
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
        self._begun = self._points_begun()

    def plan(self) -> Plan:
        points = self._points_begun()
        return self._planned(points) if points else Plan((), ())

    def total(self) -> int:
        return self._search.num_samples

    def num_left(self) -> int:
        return max(0, self.total() - len(self._over()))

    def recipes(self) -> list[Recipe]:
        features = [a for a in self._space.axes if a.key.partition(".")[0] in ("data", "backbone")]
        rest = {a.key: _any_value(a) for a in self._space.axes if a not in features}
        listed = Space(self._space.source, "", axes=tuple(_as_grid(axis) for axis in features))
        points = [{**rest, **point} for point in grid_of(listed)]
        return [trial.recipe for trial in self._planned(points).trials]

    def give_up(self, recipe: Recipe, error: str) -> None:
        raise UserError(error)

    def resolve(self, config: Point) -> Trial:
        return self._planned([{key: plain(value) for key, value in config.items()}]).trials[0]

    def param_space(self) -> dict[str, Any]:
        return {}  # the searcher has it

    def num_samples(self) -> int:
        return self.num_left()

    def searcher(self) -> Any:
        over = self._over()
        unfinished = [p for p in self._begun if self.resolve(p).name not in over]
        searcher = _searcher_class()(
            metric=self._search.metric,
            mode="max",
            seed=seed_of("optuna", self._seed, len(over)) % (1 << 31),
            points_to_evaluate=[dict(point) for point in unfinished] or None,
        )
        domains = {axis.key: domain(axis) for axis in self._space.axes}
        searcher.set_search_properties(self._search.metric, "max", domains)
        for point in self._begun:
            value = over.get(self.resolve(point).name)
            if value is not None:
                searcher.add_evaluated_point(dict(point), value)
        return searcher

    def _points_begun(self) -> list[Point]:
        """Of the trials of this space that have a folder."""
        keys = {axis.key for axis in self._space.axes}
        points = []
        for file in sorted((self._out / "trials").glob("*/trial.json")):
            trial = read_json(file)
            if trial["point"].keys() == keys and self.resolve(trial["point"]).name == trial["name"]:
                points.append(trial["point"])
        return points

    def _over(self) -> dict[str, float | None]:
        """Trials that are done, failed or stopped: the metric that each came to."""
        found: dict[str, float | None] = {}
        for point in self._points_begun():
            trial = self.resolve(point)
            name, state = trial.name, state_of(self._out, trial)
            result = result_of(self._out, trial)
            if result is not None:
                miou = first_score(trial, result)["miou"]
                values = {"objective": result.get("objective"), "miou": miou}
                found[name] = values[self._search.metric]
            elif state == "stopped":
                file = self._out / "trials" / name / "stopped.json"
                found[name] = read_json(file)[self._search.metric]
            elif state == "failed":
                found[name] = None
        return found


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
    drawn = [axis for axis in space.axes if axis.word != "grid"]
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
    if axis.word == "choice":
        return tune.choice(list(axis.values))
    return getattr(tune, axis.word)(*axis.values)


def plain(value: Any) -> Any:
    """Searchers hand out numpy's numbers; a recipe takes Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _any_value(axis: Axis) -> Any:
    return plain(domain(axis).sample(random_state=np.random.default_rng(0)))


def _as_grid(axis: Axis) -> Axis:
    return Axis(axis.key, "grid", axis.values)
