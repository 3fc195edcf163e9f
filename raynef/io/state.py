"""Where a job stands: one small file in its folder, which anyone may read while it works.

FOLDER/state.json    stage, done, total, unit, rate, eta_s, time; of a training its last step too;
                     ended, once it has: finished, stopped (by a signal) or failed
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raynef.io.files import read_json, write_json

STATE = "state.json"
_EARLIER = "standing.json"  # its name in earlier versions, which had no ``ended``

_FOLDERS: ContextVar[tuple[Path, ...]] = ContextVar("state_folders", default=())


@dataclass(frozen=True)
class State:
    """Where a job stands, or stood."""

    stage: str = ""  # its name, such as features or train; empty where it ended before it had one
    done: int = 0  # items
    total: int = 0
    unit: str = ""
    rate: float | None = None  # items a second, None where unknown
    eta_s: float | None = None  # seconds still to go
    time: float = field(default_factory=time.time)  # of this word, in seconds since 1970
    ended: str | None = None  # finished, stopped or failed; None while it works, or was killed
    facts: Mapping[str, Any] = field(default_factory=dict)  # what else it says: numbers and texts

    @property
    def age_s(self) -> float:
        """Seconds since it was written."""
        return round(max(0.0, time.time() - self.time), 1)


def read_state(folder: str | Path) -> State | None:
    """Where the last job of a folder stands, or stood; None where it never said."""
    for name in (STATE, _EARLIER):
        with contextlib.suppress(OSError, ValueError):
            found = read_json(Path(folder) / name)
            if isinstance(found, dict) and "stage" in found:
                names = {field.name for field in dataclasses.fields(State)} & found.keys()
                own = {name: found.pop(name) for name in names}
                return State(**own, facts=found)
    return None


def write_state(folder: Path, state: State) -> None:
    """Replace the state of a folder.

    A full disk must not end the job here: the next shard or checkpoint says it better.
    """
    own = dataclasses.asdict(state)
    with contextlib.suppress(OSError):
        write_json(folder / STATE, {**own.pop("facts"), **own})


def note_end(folder: Path, ended: str | None) -> None:
    """Say how the job of a folder ended; None: that one begins, which takes up what is there."""
    state = read_state(folder) or (State() if ended not in (None, "finished") else None)
    if state is not None and state.ended != ended:
        write_state(folder, dataclasses.replace(state, ended=ended))


@contextlib.contextmanager
def state_in(folder: str | Path) -> Iterator[None]:
    """Jobs that start within say where they stand in this folder, besides those around it."""
    token = _FOLDERS.set((*_FOLDERS.get(), Path(folder)))
    try:
        yield
    finally:
        _FOLDERS.reset(token)


class StateWriter:
    """What one job keeps in the folders that were given when it began, from any thread.

    Args:
        stage, total, unit: see ``State``.
        facts: that stay as they are.
    """

    def __init__(
        self, stage: str, total: int, unit: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        self._folders = _FOLDERS.get()  # a thread that advances the job has another context
        self._begun = State(stage, 0, total, unit, facts=facts or {})

    def note(self, done: int, rate: float, facts: Mapping[str, Any] | None = None) -> None:
        """Write it down: items done, items a second (0 where unknown), and what else is known."""
        more = {name: value for name, value in (facts or {}).items() if _is_plain(value)}
        state = dataclasses.replace(
            self._begun,
            done=done,
            rate=round(rate, 3) if rate else None,
            eta_s=round((self._begun.total - done) / rate, 1) if rate else None,
            time=time.time(),
            facts={**self._begun.facts, **more},
        )
        for folder in self._folders:
            write_state(folder, state)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
