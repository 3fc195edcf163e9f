"""``raynef tune``: a recipe for each data set, from presets, the space and flags."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

from tyro.conf import Suppress, arg

from raynef.cli.command import Address, Command, Flat, Line, Positional, Result
from raynef.cli.paths import absolute_paths
from raynef.config.overrides import override
from raynef.config.presets import load_presets
from raynef.config.recipe import Recipe, check
from raynef.core.errors import UserError
from raynef.io.storage import absolute, is_address, name_of
from raynef.sweeps.space import BACKBONE, Space
from raynef.sweeps.space_file import read_space
from raynef.sweeps.sweep import DataSet, Target

_OF_BACKBONE = ("backbone.name", "backbone.weights", "backbone.tap")
"""Fields that a preset of a backbone brings."""


@dataclass(frozen=True)
class Asked:
    """What a sweep is of: its space, and a recipe for each data set."""

    space: Space
    data: tuple[DataSet, ...]
    targets: tuple[Target, ...]


class Tune(Command):
    """Sweep a space of recipes on shared features. The same command again resumes."""

    space: Positional[str]
    """A .yaml file, or the name of a space that comes with raynef, such as alpha."""
    out: Path
    """Folder of the sweep."""
    presets: Annotated[
        tuple[str, ...],
        arg(name="recipe", help="As of raynef train; over the presets of --roots."),
    ] = ()
    config: Flat = field(default_factory=Recipe)
    roots: tuple[str, ...] = ()
    """Several data sets, as PRESET=DIR, in place of --data.root."""
    targets: tuple[str, ...] = ()
    """Data sets to score on, as PRESET=DIR, for spaces that train elsewhere (zero_shot)."""
    seeds: tuple[int, ...] = ()
    """Of every point; the space's own if not given."""
    max_concurrent: int | None = None
    """Trials side by side; by default one for each GPU, or node. More than GPUs share them."""
    mlflow: str | None = None
    """Also log to MLflow, at this tracking address."""
    wandb: str | None = None
    """Also log to this project of Weights & Biases."""
    address: Address = None
    asked: Suppress[Asked | None] = None

    def complete(self, line: Line) -> Self:
        """Read the space, and the flags once for each data set.

        Raises:
            UserError: a mistake in the space or in the flags, named.
        """
        space = _seen_from_here(read_space(self.space))
        roots = [_pair(root, "--roots") for root in self.roots] or [(None, None)]
        data = tuple(_dataset(self, line, space, *root) for root in roots)
        targets = tuple(_target(*_pair(target, "--targets")) for target in self.targets)
        return replace(self, asked=Asked(space, data, targets))

    def execute(self) -> Result:
        """Sweep, then write table and report."""
        from raynef.sweeps.sweep_report import write_sweep_report
        from raynef.sweeps.table import write_tables
        from raynef.sweeps.tune import Options, sweep

        assert self.asked is not None  # complete() has been there
        result = sweep(
            self.asked.space,
            self.asked.data,
            self.out,
            targets=self.asked.targets,
            seeds=self.seeds,
            options=Options(self.max_concurrent, self.address, self.mlflow, self.wandb),
        )
        return {**result, **write_tables(self.out), **write_sweep_report(self.out)}


def _dataset(args: Tune, line: Line, space: Space, preset: str | None, root: str | None) -> DataSet:
    """One data set: presets, then the space's fields, then the user's flags.

    Where the space is of eigenfunctions and the presets of something else, ``paper`` is the last of
    them.
    """
    presets = [preset] if preset else []
    presets += args.presets or ([] if preset else ["folder"])
    laid = [p for name in presets for p in (name, space.presets.get(name)) if p is not None]
    recipe = load_presets(laid)
    if space.is_of_eigenfunctions and recipe.eigen.objective != "eigenfunctions":
        recipe = load_presets([*laid, "paper"])
    recipe = override(recipe, space.fields, source=space.source)
    recipe = line.over(replace(args, config=recipe)).config
    if root is not None:
        if recipe.data.root is not None:
            raise UserError("--data.root and --roots both say where the data is; give one of them")
        recipe = replace(recipe, data=replace(recipe.data, root=root))
    if recipe.data.root is None:
        named = " ".join(f"{name}=DIR" for name in space.data) or "folder=DIR"
        raise UserError(f"where is the data? --data.root DIR, or as in the paper --roots {named}")
    _refuse_flags_of_axes(space, line.argv)
    recipe = absolute_paths(check(recipe))
    return DataSet(_name(preset or recipe.data.name, recipe.data.root), recipe)


def _target(preset: str, root: str) -> Target:
    recipe = load_presets([preset])
    recipe = absolute_paths(replace(recipe, data=replace(recipe.data, root=root)))
    return Target(_name(preset, root), recipe.data, recipe.evaluate)


def _name(preset: str, root: str | None) -> str:
    """A folder goes by its own name, any other data set by that of its preset."""
    return name_of(absolute(root or "")) if preset == "folder" else preset


def _pair(text: str, flag: str) -> tuple[str, str]:
    preset, equals, root = text.partition("=")
    if not equals or not preset or not root:
        raise UserError(f"{flag} takes PRESET=DIR, such as folder=images; got {text!r}")
    return preset, root


def _refuse_flags_of_axes(space: Space, argv: Sequence[str]) -> None:
    """A flag that an axis would override in silence, or that would reach all of its values."""
    given = {flag.partition("=")[0].lstrip("-").replace("-", "_") for flag in argv if "--" in flag}
    for axis in space.axes:
        covered = _OF_BACKBONE if axis.key == BACKBONE else (axis.key,)
        for key in covered:
            if key in given:
                what = f"--{key} is" if key == axis.key else f"--{key}: {axis.key} is"
                raise UserError(
                    f"{what} an axis of {space.source}; copy the file to change its values"
                )


def _seen_from_here(space: Space) -> Space:
    """Values of a backbone axis that are files, with their whole path."""
    axes = tuple(
        replace(axis, values=tuple(map(_whole, axis.values))) if axis.key == BACKBONE else axis
        for axis in space.axes
    )
    return replace(space, axes=axes)


def _whole(value: Any) -> Any:
    is_file = isinstance(value, str) and value.endswith((".yaml", ".yml"))
    return os.path.abspath(value) if is_file and not is_address(value) else value
