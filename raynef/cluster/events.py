"""What the loop of a training tells its driver."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EpochDone:
    """An epoch, counted from 1, is done and its checkpoint safe: means of its steps, and rates."""

    epoch: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Resumed:
    """The loop starts, or starts again, after ``step`` steps, among them those of whole epochs."""

    step: int
    epochs: tuple[EpochDone, ...] = ()


@dataclass(frozen=True)
class Stepped:
    """A step is done: its terms, and the seconds of each of its parts."""

    terms: Mapping[str, float]
    split: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Damaged:
    """A checkpoint is damaged; the one before is used."""

    reason: str


@dataclass(frozen=True)
class Fatal:
    """The loss is not finite, on every rank: the training ends."""

    message: str


@dataclass(frozen=True)
class Safe:
    """The state after ``step`` steps is kept, as a driver that shuts down asked."""

    step: int


Event = Resumed | Stepped | EpochDone | Damaged | Fatal | Safe


def told_to(*hear: Callable[[Event], None]) -> Callable[[Event], None]:
    """What tells each of several of an event, one after the other."""

    def tell(event: Event) -> None:
        for one in hear:
            one(event)

    return tell
