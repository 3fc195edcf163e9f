"""``raynef tune``: a recipe for each data set, from presets, the space and flags."""

import os
from dataclasses import dataclass, replace
from typing import Any

import tyro

from raynef.cli.arguments import Tune
from raynef.cli.paths import absolute_paths
from raynef.config.overrides import override
from raynef.config.presets import load_presets
from raynef.config.recipe import check
from raynef.core.errors import UserError
from raynef.io.storage import absolute, is_address, name_of
from raynef.sweeps.space import BACKBONE, Space, read_space
from raynef.sweeps.sweep import DataSet, Target

_OF_BACKBONE = ("backbone.name", "backbone.weights", "backbone.tap")
"""Fields that a preset of a backbone brings."""


@dataclass(frozen=True)
class Sweep:
    """What ``raynef tune`` was asked for, with a recipe for each data set."""

    args: Tune
    space: Space
    data: tuple[DataSet, ...]
    targets: tuple[Target, ...]


def read_sweep(args: Tune, argv: list[str]) -> Sweep:
    """Read the space, and the flags once for each data set.

    Raises:
        UserError: a mistake in the space or in the flags, named.
    """
    space = _seen_from_here(read_space(args.space))
    roots = [_pair(root, "--roots") for root in args.roots] or [(None, None)]
    data = tuple(_dataset(args, argv, space, *root) for root in roots)
    targets = tuple(_target(*_pair(target, "--targets")) for target in args.targets)
    return Sweep(args, space, data, targets)


def run_sweep(asked: Sweep) -> dict[str, Any]:
    """Sweep, then write table and report."""
    from raynef.sweeps.sweep_report import write_sweep_report
    from raynef.sweeps.table import write_tables
    from raynef.sweeps.tune import Options, sweep

    args = asked.args
    result = sweep(
        asked.space,
        asked.data,
        args.out,
        targets=asked.targets,
        seeds=args.seeds,
        options=Options(args.max_concurrent, args.address, args.mlflow, args.wandb),
    )
    return {**result, **write_tables(args.out), **write_sweep_report(args.out)}


def _dataset(
    args: Tune, argv: list[str], space: Space, preset: str | None, root: str | None
) -> DataSet:
    """One data set: presets, then the space's fields, then the user's flags."""
    presets = [preset] if preset else []
    presets += args.presets or ([] if preset else ["folder"])
    laid = [p for name in presets for p in (name, space.presets.get(name)) if p is not None]
    recipe = override(load_presets(laid), space.fields, source=space.source)
    base = replace(args, config=recipe)
    recipe = tyro.cli(Tune, args=argv, default=base, prog="raynef tune").config
    if root is not None:
        if recipe.data.root is not None:
            raise UserError("--data.root and --roots both say where the data is; give one of them")
        recipe = replace(recipe, data=replace(recipe.data, root=root))
    if recipe.data.root is None:
        named = " ".join(f"{name}=DIR" for name in space.data) or "folder=DIR"
        raise UserError(f"where is the data? --data.root DIR, or as in the paper --roots {named}")
    _refuse_flags_of_axes(space, argv)
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


def _refuse_flags_of_axes(space: Space, argv: list[str]) -> None:
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
