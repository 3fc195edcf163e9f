"""What a training loop needs of the place that it runs in."""

from collections.abc import Callable
from typing import Any, Protocol

import torch

from raynef.cluster.events import Event
from raynef.core.collectives import Collectives
from raynef.io.checkpoints import State


class Worker(Protocol):
    """What the loop needs of the place that it runs in."""

    device: torch.device
    collectives: Collectives

    def restore(self) -> State | None:
        """The latest state that was kept whole, on this or an earlier try; None at the first."""
        ...

    def tell(self, event: Event) -> None:
        """Say what happened; ``Fatal`` ends the training."""
        ...

    def save(self, state: State, summary: dict[str, float], trainer: Any, *, step: int) -> None:
        """Keep the state after ``step`` steps, at the end of an epoch, and report its summary."""
        ...

    def keep(self, state: Callable[[], State], *, step: int) -> None:
        """After any other step: keep the state if minutes have passed or the run is to end."""
        ...


Loop = Callable[[dict[str, Any], Worker], None]
"""A module-level function that trains: it restores, tells, and saves through its worker."""
