"""Ray metrics of the stages, which Prometheus scrapes from each node and the dashboard can show.

raynef_images_per_second{stage}             of extraction, training, evaluation, …, on the driver
raynef_step_seconds{part, rank}             of the last step: features, graph, communication, psi
raynef_step{rank}                           steps that are done
"""

import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.util.metrics import Gauge

_TEXTS = {
    "raynef_images_per_second": "Images a second, by stage",
    "raynef_step_seconds": "Seconds of the last training step, by part",
    "raynef_step": "Training steps that are done",
}


def record(name: str, value: float, **tags: str) -> None:
    """Set a gauge; nothing happens where Ray does not run."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        _gauge(name, tuple(sorted(tags))).set(value, tags=tags)


def record_step(step: int, split: Mapping[str, float], *, rank: int) -> None:
    """What a worker knows after a step: how many there were, and where its time went."""
    record("raynef_step", step, rank=str(rank))
    for part, seconds in split.items():
        record("raynef_step_seconds", seconds, part=part, rank=str(rank))


@cache
def _gauge(name: str, tags: tuple[str, ...]) -> "Gauge":
    """Once for each process: Ray counts a second gauge of a name as another one."""
    from ray.util.metrics import Gauge

    return Gauge(name, description=_TEXTS[name], tag_keys=tags)
