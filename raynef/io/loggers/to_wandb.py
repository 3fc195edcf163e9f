"""Weights & Biases, of the extra ``wandb``: a run in a project; offline ones lie in RUN/wandb."""

import importlib
import inspect
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raynef.core.errors import UserError
from raynef.io.loggers.backend import Log, Status

PROJECT = "raynef"
_SENDS_NOTHING = ("offline", "disabled", "dryrun")


def require_key() -> None:
    """Raise UserError where runs would be sent, and no API key is at hand; it is not asked for."""
    wandb: Any = importlib.import_module("wandb")
    if wandb.setup().settings.mode in _SENDS_NOTHING:
        return
    known = inspect.signature(wandb.login).parameters
    if "prompt" in known and not wandb.login(prompt=False, verify=False):
        raise UserError(
            "logger wandb has no API key: run wandb login, or set WANDB_API_KEY, or "
            "WANDB_MODE=offline"
        )


def open_log(log: Log, *, place: str | None, known: str | None) -> "_Wandb":
    """As of ``open_backend``; ``place`` is the project."""
    return _Wandb(log, place or PROJECT, known)


class _Wandb:
    def __init__(self, log: Log, project: str, known: str | None) -> None:
        wandb: Any = importlib.import_module("wandb")
        self._image = wandb.Image
        self.id = known or secrets.token_hex(4)
        self._run = wandb.init(
            project=project,
            name=log.name,
            id=self.id,
            resume="allow",
            dir=str(log.folder),
            config=dict(log.config),
            # What goes to stdout and stderr stays as it is, and stays here.
            settings=wandb.Settings(console="off", silent=True),
        )
        folder = Path(self._run.dir).parent
        offline = folder.name.startswith("offline-run")
        self.where = f"wandb sync {folder}" if offline else str(self._run.url)

    def last_step(self) -> None:
        return None  # an offline run knows nothing of its earlier part

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        self._run.log(dict(values), step=step, commit=True)

    def scores(self, values: Mapping[str, float], *, step: int) -> None:
        self._run.summary.update(dict(values))

    def images(self, images: Mapping[str, np.ndarray], *, step: int) -> None:
        for name, image in images.items():
            self._run.summary[name] = self._image(image)

    def close(self, status: Status) -> None:
        self._run.finish(exit_code=0 if status == "finished" else 1)
