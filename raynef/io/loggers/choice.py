"""Which loggers a training has: by name, and whether they can be had at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from raynef.core.errors import UserError
from raynef.core.extras import has_package

LoggerName = Literal["tensorboard", "wandb", "mlflow", "none"]
_COMES_FROM = {
    "tensorboard": ("tensorboardX", "tensorboardX"),
    "wandb": ("wandb", "'raynef[wandb]'"),
    "mlflow": ("mlflow", "'raynef[mlflow]'"),
}
"""The package that a logger needs, and what pip installs it by."""


@dataclass(frozen=True)
class Loggers:
    """Where a job is logged.

    Attributes:
        names: of the loggers.
        mlflow: tracking address of MLflow; None: as MLflow's own settings have it.
        wandb: project of Weights & Biases; None: raynef.
    """

    names: tuple[str, ...] = ()
    mlflow: str | None = None
    wandb: str | None = None

    def place(self, name: str) -> str | None:
        """The address or project that was given for a logger."""
        return {"mlflow": self.mlflow, "wandb": self.wandb}.get(name)


NOWHERE = Loggers()
"""No log."""


def loggers(
    names: str | Sequence[str], *, mlflow: str | None = None, wandb: str | None = None
) -> Loggers:
    """The loggers that were asked for: those named, and those that a place was given for.

    Raises:
        UserError: no such logger, ``none`` beside another, a package that is not installed (the
            command that installs it is named), or Weights & Biases without an API key.
    """
    asked = [names] if isinstance(names, str) else list(names)
    known = get_args(LoggerName)
    for name in asked:
        if name not in known:
            raise UserError(f"there is no logger {name!r}; choose from {', '.join(known)}")
    places = {"mlflow": mlflow, "wandb": wandb}
    asked += [name for name, place in places.items() if place is not None]
    if "none" in asked and set(asked) != {"none"}:
        others = " and ".join(dict.fromkeys(name for name in asked if name != "none"))
        raise UserError(f"logger none contradicts {others}")
    found = tuple(dict.fromkeys(name for name in asked if name != "none"))
    for name in found:
        package, source = _COMES_FROM[name]
        if not has_package(package):
            raise UserError(f"logger {name} needs the package {package}: pip install {source}")
    if "wandb" in found:
        from raynef.io.loggers.to_wandb import require_key

        require_key()
    return Loggers(found, mlflow, wandb)
