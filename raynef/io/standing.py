"""Where a job stands, in a small file that anyone may read while it works.

FOLDER/standing.json    stage, done, total, unit, rate, eta_s, time; of a training its last step too
"""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from raynef.io.files import read_json, write_json

STANDING = "standing.json"

_FOLDERS: ContextVar[tuple[Path, ...]] = ContextVar("standing_folders", default=())


@contextlib.contextmanager
def standing_in(folder: str | Path) -> Iterator[None]:
    """Jobs that start within say where they stand in this folder, besides those around it."""
    token = _FOLDERS.set((*_FOLDERS.get(), Path(folder)))
    try:
        yield
    finally:
        _FOLDERS.reset(token)


class Standing:
    """What one job keeps in the folders that were given when it began, from any thread.

    Args:
        stage: its name, such as features or train.
        total: items to do.
        unit: of an item.
        facts: that stay as they are.
    """

    def __init__(
        self, stage: str, total: int, unit: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        self._folders = _FOLDERS.get()  # a thread that advances the job has another context
        self._head = {"stage": stage, "total": total, "unit": unit, **(facts or {})}

    def note(self, done: int, rate: float, facts: Mapping[str, Any] | None = None) -> None:
        """Write it down: items done, items a second (0 where unknown), and what else is known."""
        left = (self._head["total"] - done) / rate if rate else None
        record = {
            **self._head,
            **{name: value for name, value in (facts or {}).items() if _is_plain(value)},
            "done": done,
            "rate": round(rate, 3) if rate else None,
            "eta_s": round(left, 1) if left is not None else None,
            "time": time.time(),
        }
        for folder in self._folders:
            # A full disk must not end the job here: the next shard or checkpoint says it better.
            with contextlib.suppress(OSError):
                write_json(folder / STANDING, record)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def read_standing(folder: str | Path) -> dict[str, Any] | None:
    """Where the last job of a folder stands, or stood; None where it never said."""
    try:
        found = read_json(Path(folder) / STANDING)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "stage" in found else None
