"""What a command is: a class with its arguments as fields, and what it does.

No command's module imports torch or Ray: its ``execute`` does, so that ``--help`` is quick.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar, dataclass_transform

import tyro
from tyro.conf import Positional as Positional
from tyro.conf import arg

from raynef.cli.paths import absolute_paths
from raynef.cluster.place import Place
from raynef.config.presets import load_presets
from raynef.config.recipe import Recipe, check
from raynef.core.errors import UserError

C = TypeVar("C")

Result = dict[str, Any]
"""Printed as a table on a terminal, and as one JSON line elsewhere."""
Flat = Annotated[Recipe, arg(name="")]
"""A recipe whose fields are flags such as --graph.alpha."""
Presets = Annotated[
    tuple[str, ...],
    arg(
        name="recipe",
        help="Presets or .yaml files, the later over the earlier; flags override them.",
    ),
]
Seeds = Annotated[
    tuple[int, ...], arg(help="Run once for each of these, into OUT/seed-N, in place of train.seed")
]
Address = Annotated[str | None, arg(help="A Ray cluster to join; an embedded one if not given.")]


@dataclass(frozen=True)
class Line:
    """The command line that a command was read from.

    Attributes:
        argv: what follows the command's name.
        prog: what help and errors call it, such as ``raynef train``.
        rest: what follows ``--``, of a command that takes it.
    """

    argv: Sequence[str]
    prog: str
    rest: tuple[str, ...] = ()

    def read(self, kind: type[C]) -> C:
        """The arguments; a mistake exits with status 2."""
        return tyro.cli(kind, args=self.argv, prog=self.prog)

    def over(self, base: C) -> C:
        """The arguments again, over other defaults than the class has."""
        return tyro.cli(type(base), args=self.argv, default=base, prog=self.prog)


@dataclass(frozen=True)
class Exit:
    """A result that is a line and a status already, such as that of a job on a cluster."""

    status: int
    line: str | None


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
@dataclass(frozen=True, kw_only=True)
class Command:
    """Base of all commands: a subclass is a frozen dataclass of its arguments.

    Attributes:
        takes_rest: whether ``--`` ends its flags, and what follows is for it to read.
        loads_torch: whether it begins with seconds of loading, which are said.
        says_result: whether its log has the result in words, which a terminal needs once.
    """

    takes_rest: ClassVar[bool] = False
    loads_torch: ClassVar[bool] = False
    says_result: ClassVar[bool] = False
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    json: bool = False
    """Print the result as one JSON line on a terminal too, where it is a table."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)

    def complete(self, line: Line) -> Self:
        """The command once what it names is read: a preset, a run's own recipe."""
        return self

    @property
    def place(self) -> Place:
        """Where its jobs run."""
        return "auto"

    def arguments(self) -> dict[str, Any]:
        """All of a command but where it runs and how it prints, for a job of these parameters."""
        own = ("local", "ray", "json")
        return {name: value for name, value in vars(self).items() if name not in own}

    def execute(self) -> Result | Exit:
        """Do it."""
        raise NotImplementedError


class JobCommand(Command):
    """A command whose work is spread over Ray, or done in this process where it is little."""

    loads_torch: ClassVar[bool] = True
    address: Address = None
    local: bool = False
    """Run in this process, without Ray, as up to 256 images are anyway (on few cores 1,024)."""
    ray: bool = False
    """Run on Ray, however few images there are."""

    @property
    def place(self) -> Place:
        """Raises UserError where both places are asked for."""
        if self.local and (self.ray or self.address is not None):
            other = "--ray" if self.ray else f"--address {self.address}"
            raise UserError(f"--local and {other} contradict each other")
        return "local" if self.local else "ray" if self.ray else "auto"


class RecipeCommand(Command):
    """A command on a recipe: flags lie over presets, and what comes out is checked."""

    presets: Presets = ("folder",)
    config: Flat = field(default_factory=Recipe)

    def complete(self, line: Line) -> Self:
        args = line.over(replace(self, config=load_presets(self.presets)))
        return replace(args, config=absolute_paths(check(args.config)))

    def over_seeds(
        self, job: Callable[..., Result], out: Path, seeds: tuple[int, ...], address: str | None
    ) -> Result:
        """A job on the recipe once, or once for each seed."""
        if not seeds:
            return job(self.config, out, address=address)
        from raynef.jobs.seeds import over_seeds

        return over_seeds(job, self.config, out, seeds, address=address)
