"""What a logger does: opened for one run, and opened again where the run is resumed."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

Status = Literal["finished", "stopped", "failed"]
Plain = bool | int | float | str | None


@dataclass(frozen=True)
class Log:
    """Of what a log is.

    Attributes:
        folder: of the run.
        name: that it is shown by.
        config: hyperparameters, by dotted name; empty where they are known from before.
        metrics: names of those that runs are compared by.
    """

    folder: Path
    name: str
    config: Mapping[str, Plain] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()


class Backend(Protocol):
    """One logger, open. Whatever fails is raised, and may take long: it is called in a thread.

    Attributes:
        id: by which it is opened again; None where its place tells.
        where: for a person.
    """

    id: str | None
    where: str

    def last_step(self) -> int | None:
        """The last step that is there; None where it cannot tell."""
        ...

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """Keep the values of a step, all or none."""
        ...

    def scores(self, values: Mapping[str, float], *, step: int) -> None:
        """Keep values that come once, after a training of so many steps."""
        ...

    def images(self, images: Mapping[str, np.ndarray], *, step: int) -> None:
        """Keep pictures, uint8 [H, W, 3], by name."""
        ...

    def close(self, status: Status) -> None:
        """Write what is left."""
        ...


def open_backend(name: str, log: Log, *, place: str | None, known: str | None) -> Backend:
    """Open a logger, whose library is imported here.

    Args:
        name: tensorboard, wandb or mlflow.
        log: what it is of.
        place: address or project.
        known: its id, where the run has one already.
    """
    module: Any = importlib.import_module(f"raynef.io.loggers.to_{name}")
    return module.open_log(log, place=place, known=known)
