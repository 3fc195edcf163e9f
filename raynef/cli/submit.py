"""``raynef submit``: a command for a cluster, checked here as far as it can be."""

import dataclasses
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from tyro.conf import Suppress, arg

from raynef.cli.command import Command, Exit, Line
from raynef.core.errors import UserError
from raynef.io.storage import is_address

logger = logging.getLogger("raynef")

_LOCATIONS = ("root", "store", "weights", "teacher_weights", "source", "image", "roots", "targets")
"""Fields of commands and recipes that hold a path as text; any other path has the type Path."""
_WORDS = ("hub", "bundled")
"""What a field of weights may hold in place of a path."""


class Submit(Command):
    """Run a command on a Ray cluster: raynef submit [options] -- train --recipe … --out …

    Its log comes on stderr, its JSON line on stdout, its exit status is the job's. Ctrl-C asks
    whether to stop the job; without a terminal it is left running.
    """

    takes_rest: ClassVar[bool] = True

    address: Annotated[
        str | None,
        arg(
            help="The head's dashboard; by default RAY_API_SERVER_ADDRESS, RAY_ADDRESS or "
            "http://127.0.0.1:8265."
        ),
    ] = None
    ship: Literal["package", "environment", "nothing"] = "package"
    """What goes along: this package; its dependencies too, installed by pip on each node; or
    nothing, where the cluster has raynef."""
    working_dir: Path | None = None
    """Folder that goes along and is the job's working directory; without, the .yaml files that the
    command names go alone."""
    command: Suppress[tuple[str, ...]] = ()

    def complete(self, line: Line) -> Self:
        """With the command after ``--``. Raises UserError where there is none."""
        if not line.rest:
            raise UserError("raynef submit: which command? raynef submit -- train --recipe …")
        if line.rest[0] == "submit":
            raise UserError("raynef submit: a job cannot submit; give the command itself after --")
        return dataclasses.replace(self, command=line.rest)

    def execute(self) -> Exit:
        """Check the command, and submit it."""
        from raynef.cli.commands import read
        from raynef.ops.shipping import pack
        from raynef.ops.submit import submit

        parcel = pack(self.command, self.working_dir)
        asked = read(parcel.command)  # a typing error ends here
        refuse_own_address(asked)
        refuse_local_paths(asked, known=parcel.files, folder=self.working_dir)
        outcome = submit(parcel, address=self.address, ship=self.ship, say=_say, stop=ask_to_stop)
        return Exit(outcome.status, outcome.line if outcome.status in (0, 1) else None)


def refuse_own_address(asked: Any) -> None:
    """A job works on the cluster that it runs on. Raises UserError where it is given another."""
    for name, value in _fields(asked):
        if name == "address" and value is not None:
            raise UserError("leave --address out after --: a job joins the cluster that it runs on")


def refuse_local_paths(asked: Any, *, known: Any = (), folder: Path | None = None) -> None:
    """A relative path means nothing on the cluster, but for files that go along.

    Args:
        asked: the command, as dataclasses.
        known: names of files that go along.
        folder: that goes along whole; what lies there may be read by a relative path.

    Raises:
        UserError: with the field and the path.
    """
    for name, value in _fields(asked):
        for one in value if isinstance(value, tuple) else (value,):
            text = _location(name, one)
            if text is None or Path(text).is_absolute() or text in known:
                continue
            if not isinstance(one, Path) and (is_address(text) or text.startswith("~")):
                continue  # a home is one of the cluster's, too
            if folder is not None and _is_read(name, one) and (folder / text).exists():
                continue
            raise UserError(
                f"{name}: {text} is a relative path, which the cluster cannot see: its jobs run in "
                "folders that are thrown away. Give an absolute path that all nodes share, such as "
                f"/mnt/shared/…{'' if isinstance(one, Path) else ', or an address as s3://…'}"
            )


def _location(name: str, value: Any) -> str | None:
    """The path or address that a field holds, or None where it holds something else."""
    last = name.rpartition(".")[2]
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str) or last not in _LOCATIONS:
        return None
    if "weights" in last and value in _WORDS:
        return None
    return value.partition("=")[2] if last in ("roots", "targets") else value


def _is_read(name: str, value: Any) -> bool:
    """Whether a field is read only: outputs and runs are paths, and a job's folder is no place."""
    return isinstance(value, str) or name == "file"


def _fields(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of a command's fields, those of its recipe too, as flags have them."""
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        flat = field.name == "config"  # levels that the flags do not show
        full = name if flat else f"{name}.{field.name}".lstrip(".")
        if dataclasses.is_dataclass(inner):
            yield from _fields(inner, full)
        else:
            yield full, inner


def ask_to_stop(follow: str) -> bool:
    """Ask on the terminal whether the job shall end; no where there is none to ask."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"\nStop the job? Else it goes on ({follow}) [y/N] ")
    sys.stderr.flush()
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        return False


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
