"""What a sweep has to train and to score: its space, unrolled over data sets and seeds.

A *trial* is one training (or one K-means, one probe, one data set's eigenvectors) with all that is
made of it. A *cell* is one number of the table: a method of a trial, scored by one protocol on one
data set. Trials are known by what they depend on, so that cells share them and a changed sweep
finds those that are done.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raynef.config.recipe import Data, Evaluate, Recipe, check, fingerprint, to_dict
from raynef.core.errors import UserError
from raynef.sweeps.methods import METHODS, Method
from raynef.sweeps.space import Space, with_point


@dataclass(frozen=True)
class DataSet:
    """A data set of a sweep: its name in tables, and the recipe for it without any axis.

    ``num_classes`` is None where the data set does not name its classes.
    """

    name: str
    recipe: Recipe
    num_classes: int | None = None


@dataclass(frozen=True)
class Target:
    """Another data set that runs are scored on: its name, its data and its protocol."""

    name: str
    data: Data
    evaluate: Evaluate


@dataclass(frozen=True)
class Trial:
    """One training, or one baseline of the backbone.

    Attributes:
        name: of its folder; the same whenever it depends on the same.
        recipe: with its seed; without feature store. Its protocol is that of the first score.
        methods: that are made of it, in order.
        scores: recipes whose ``data`` and ``evaluate`` sections score it.
        about: short, for people.
        point: values of the axes that it depends on.
    """

    name: str
    recipe: Recipe
    methods: tuple[str, ...]
    scores: tuple[Recipe, ...]
    about: str
    point: Mapping[str, Any]

    @property
    def method(self) -> Method:
        """The first of the methods, which have in common how they are trained."""
        return METHODS[self.methods[0]]

    @property
    def kind(self) -> str:
        """Ours, leaked, spectral, kmeans or another baseline; see ``Method``."""
        return self.method.kind

    @property
    def wanted(self) -> set[tuple[str, str]]:
        """The scores that it shall have: methods, with keys of protocols."""
        return set(itertools.product(self.methods, map(score_key, self.scores)))


@dataclass(frozen=True)
class Cell:
    """One number of the table.

    Attributes:
        where: its coordinates: data, target, method and a value for each axis, as text or number.
        seed: of its trial.
        trial: name.
        method: of the trial.
        score: key of the protocol and the data; see ``score_key``.
    """

    where: Mapping[str, Any]
    seed: int
    trial: str
    method: str
    score: str


@dataclass(frozen=True)
class Plan:
    """Trials in the order in which they run, and the cells that they fill."""

    trials: tuple[Trial, ...]
    cells: tuple[Cell, ...]


def plan(
    space: Space,
    data: Sequence[DataSet],
    *,
    targets: Sequence[Target] = (),
    seeds: Sequence[int],
    points: Sequence[Mapping[str, Any]] | None = None,
) -> Plan:
    """Unroll a space over data sets and seeds.

    Args:
        space: what is varied.
        data: where to train.
        targets: where to score, in place of the data set trained on.
        seeds: of each point.
        points: values of the axes; all points of the grid if None.

    Raises:
        UserError: a point that makes no recipe, named.
    """
    found: dict[str, Trial] = {}
    cells: list[Cell] = []
    for dataset, point, seed in itertools.product(data, points or grid_of(space), seeds):
        recipe = recipe_at(space, dataset, point, seed)
        for method, target in itertools.product(space.methods, targets or (None,)):
            scored = recipe
            if target is not None:
                scored = replace(recipe, data=target.data, evaluate=target.evaluate)
            trial = _trial(method, recipe, scored, dataset, point)
            known = found.get(trial.name, trial)
            methods = dict.fromkeys((*known.methods, method))
            scores = {score_key(score): score for score in (*known.scores, scored)}
            found[trial.name] = replace(
                known, methods=tuple(methods), scores=tuple(scores.values())
            )
            where = {"data": dataset.name, "method": method, **_plain(point)}
            if target is not None:
                where["target"] = target.name
            cells.append(Cell(where, seed, trial.name, method, score_key(scored)))
    return Plan(tuple(found.values()), tuple(cells))


def grid_of(space: Space) -> Iterator[dict[str, Any]]:
    """Every point of the axes that are listed, the last axis fastest."""
    axes = [axis for axis in space.axes if axis.distribution == "grid"]
    for values in itertools.product(*(axis.values for axis in axes)):
        yield {axis.key: value for axis, value in zip(axes, values, strict=True)}


def recipe_at(space: Space, dataset: DataSet, point: Mapping[str, Any], seed: int) -> Recipe:
    """The recipe of a data set at a point, with its seed, checked."""
    recipe = with_point(dataset.recipe, point, source=space.source)
    if space.clusters == "classes":
        if not dataset.num_classes:
            raise UserError(
                f"{space.source} sets K to the number of classes, but {dataset.name} does not name "
                "them; add a classes.txt"
            )
        eigen = replace(recipe.eigen, num_eigenfunctions=dataset.num_classes)
        recipe = replace(recipe, eigen=eigen)
    recipe = check(replace(recipe, train=replace(recipe.train, seed=seed, store=None)))
    return METHODS[space.methods[0]].recipe(recipe) if space.is_spectral else recipe


def score_key(recipe: Recipe) -> str:
    """Of the data and the protocol that score a run."""
    values = to_dict(recipe)
    for name in ("views", "shift", "stored_bits"):  # of training views; they came later
        del values["data"][name]
    if not recipe.evaluate.boundary:  # likewise
        del values["evaluate"]["boundary"]
    values["data"]["max_bad_fraction"] = 0.01  # shapes no score; so it stood in the first keys
    return fingerprint({"data": values["data"], "evaluate": values["evaluate"]})


def differing(recipe: Recipe, *left_out: str) -> dict[str, Any]:
    """The fields of a recipe that are not at their default, by dotted name.

    Fields at their default are not there, so that one that comes later changes no name; neither are
    the protocol, the place of the features and what else is left out.
    """
    defaults = to_dict(Recipe())
    return {
        f"{section}.{name}": value
        for section, fields in to_dict(recipe).items()
        for name, value in fields.items()
        if value != defaults[section][name]
        and section != "evaluate"
        and f"{section}.{name}" not in ("train.store", *left_out)
    }


def identity(recipe: Recipe, kind: str) -> str:
    """What a trial depends on, as a short hash."""
    return fingerprint({"kind": kind, **differing(recipe)})[:8]


def _trial(
    name: str, recipe: Recipe, scored: Recipe, dataset: DataSet, point: Mapping[str, Any]
) -> Trial:
    """The trial of one method with one score."""
    method = METHODS[name]
    recipe = method.recipe(recipe)
    point = {
        key: value
        for key, value in point.items()
        if method.sees_field(key) and not key.startswith("evaluate.")
    }
    parts = [
        dataset.name,
        method.kind,
        *(f"{_short(key)}={short_value(v)}" for key, v in point.items()),
    ]
    parts.append(f"seed={recipe.train.seed}")
    folder = re.sub(r"[^A-Za-z0-9=._-]+", "-", "_".join(parts))
    return Trial(
        name=f"{folder}_{identity(recipe, method.kind)}",
        recipe=recipe,
        methods=(name,),
        scores=(scored,),
        about=" ".join(parts),
        point=_plain(point),
    )


def _short(key: str) -> str:
    """An axis in a folder's name."""
    return "K" if key == "eigen.num_eigenfunctions" else key.rpartition(".")[2]


def short_value(value: Any) -> str:
    """A value in a folder's name, and in a table."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.rpartition("/")[2].removesuffix(".yaml")


def _plain(point: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a table shows them."""
    return {
        key: value if isinstance(value, int | float | bool | str) else str(value)
        for key, value in point.items()
    }
