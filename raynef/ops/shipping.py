"""What goes along with a submitted job: the package, the versions it runs with, recipe files."""

import importlib.metadata
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.version import Version

import raynef
from raynef.cluster.private import STOP_WAIT
from raynef.core.errors import UserError
from raynef.io.storage import is_address
from raynef.stores.run import COMMIT_OF_SENDER, git_commit

Ship = Literal["package", "environment", "nothing"]
_STOP_WAIT_S = 30  # of a stopped job for its last checkpoint; Ray's own is 3


@dataclass(frozen=True)
class Parcel:
    """A command as it runs on the cluster, and the files that it names."""

    command: tuple[str, ...]  # of raynef; files as they lie in the job's working directory
    files: dict[str, Path]  # where each of those lies here, by its name there; none with a folder
    folder: Path | None  # that is the job's working directory


def pack(command: Sequence[str], working_dir: Path | None = None) -> Parcel:
    """Find the .yaml files that a command names, and name them as the job will see them.

    An absolute path that is no file here is taken for one of the cluster. Files that a .yaml file
    names in turn are not followed: they need a ``working_dir``.

    Args:
        command: arguments of raynef as seen from here.
        working_dir: folder that goes along whole, or None to send the named files alone.

    Raises:
        UserError: a file that is not there, or lies outside ``working_dir``.
    """
    if working_dir is not None and not working_dir.is_dir():
        raise UserError(f"--working-dir {working_dir} is not a folder")
    files: dict[str, Path] = {}
    packed = [_packed(argument, files, working_dir) for argument in command]
    return Parcel(tuple(packed), {} if working_dir else files, working_dir)


def _packed(argument: str, files: dict[str, Path], working_dir: Path | None) -> str:
    """An argument, or --flag=argument, with the file that it names, if any, by its name there."""
    flag, equals, value = argument.rpartition("=") if argument.startswith("--") else ("", "", "")
    value = value if equals else argument
    if not value.endswith((".yaml", ".yml")) or is_address(value):
        return argument
    path = Path(value)
    if working_dir is not None:
        if not path.is_absolute() and (working_dir / path).is_file():
            return argument
        if path.is_file():
            here, folder = path.resolve(), working_dir.resolve()
            if not here.is_relative_to(folder):
                raise UserError(f"{value} lies outside --working-dir {working_dir}; copy it there")
            return f"{flag}{equals}{here.relative_to(folder).as_posix()}"
    if path.is_file():
        return f"{flag}{equals}{_name_for(path.absolute(), files)}"
    if path.is_absolute():
        return argument
    raise UserError(f"{value} is no file here, so that it cannot go along")


def _name_for(path: Path, files: dict[str, Path]) -> str:
    """The file's own name, with a number where another file has it already."""
    for name, known in files.items():
        if known == path:
            return name
    same = Counter(known.name for known in files.values())[path.name]
    name = f"{path.stem}-{same + 1}{path.suffix}" if same else path.name
    files[name] = path
    return name


def runtime_env(parcel: Parcel, ship: Ship, folder: Path) -> dict[str, Any]:
    """Ray's runtime environment of the job; the files of the parcel are copied into ``folder``.

    Args:
        parcel: what goes along.
        ship: ``package`` sends this very package, whose code then goes before one that the cluster
            has; ``environment`` also has pip install on each node what it depends on, at the
            versions used here (but for Ray, which is the cluster's); ``nothing`` runs what the
            cluster has.
        folder: empty, kept until the job is submitted.

    Raises:
        UserError: an environment that cannot be told, for raynef is not installed here.
    """
    env: dict[str, Any] = {"env_vars": {STOP_WAIT: str(_STOP_WAIT_S)}}
    if ship != "nothing":
        env["py_modules"] = [str(Path(raynef.__file__).parent)]
        env["excludes"] = ["__pycache__"]
        if commit := git_commit():
            env["env_vars"][COMMIT_OF_SENDER] = commit
    if ship == "environment":
        env["pip"] = pinned_dependencies()
    for name, path in parcel.files.items():
        shutil.copyfile(path, folder / name)
    if parcel.folder or parcel.files:
        env["working_dir"] = str(parcel.folder or folder)
    return env


def pinned_dependencies() -> list[str]:
    """What raynef depends on, as ``name==version`` of what is installed here; Ray is left out.

    Raises:
        UserError: raynef is not installed.
    """
    try:
        wanted = map(Requirement, importlib.metadata.requires("raynef") or ())
        return [
            f"{one.name}=={Version(importlib.metadata.version(one.name)).public}"
            for one in wanted
            if one.name != "ray" and (one.marker is None or one.marker.evaluate({"extra": ""}))
        ]
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(f"--ship environment: {error} is not installed here") from error
