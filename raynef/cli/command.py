"""What a command is: its arguments as a frozen dataclass, and what it does.

No command's module imports torch or Ray: its ``execute`` does, so that ``--help`` is quick.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Self, TypeVar

import tyro
from tyro.conf import arg

from raynef.cli.paths import absolute_paths
from raynef.config.presets import load_presets
from raynef.config.recipe import Recipe, check

C = TypeVar("C")

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


class Command:
    """Base of all commands.

    Attributes:
        takes_rest: whether ``--`` ends its flags, and what follows is for it to read.
    """

    takes_rest: ClassVar[bool] = False

    def complete(self, line: Line) -> Self:
        """The command once what it names is read: a preset, a run's own recipe."""
        return self

    def execute(self) -> dict[str, Any] | Exit:
        """Do it; the result is printed as one JSON line."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class RecipeCommand(Command):
    """A command on a recipe: flags lie over presets, and what comes out is checked."""

    presets: Presets = ("folder",)
    config: Flat = field(default_factory=Recipe)

    def complete(self, line: Line) -> Self:
        args = line.over(replace(self, config=load_presets(self.presets)))
        return replace(args, config=absolute_paths(check(args.config)))
