"""All loggers of a run, as one."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from raynef.io.loggers.backend import Log, Status
from raynef.io.loggers.choice import Loggers
from raynef.io.loggers.writer import FOLDER, Writer, kept_of

_WAITS_S: dict[Status, float] = {"finished": 30.0, "stopped": 4.0, "failed": 10.0}
"""For loggers that are slow, at the end of a job; a preemption leaves little time."""


class RunLog:
    """The loggers that were chosen for a run; without any it does nothing."""

    def __init__(self, log: Log, chosen: Loggers) -> None:
        self._writers = [Writer(name, log, chosen.place(name)) for name in chosen.names]

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """Log the values of a step; one that is there is left out."""
        for writer in self._writers:
            writer.scalars(values, step=step)

    def scores(self, values: Mapping[str, float], *, step: int) -> None:
        """Log what comes once, after so many steps."""
        for writer in self._writers:
            writer.scores(values, step=step)

    def finish(self, images: Mapping[str, np.ndarray], *, step: int) -> None:
        """Log the end of a training, with pictures, uint8 [H, W, 3]."""
        for writer in self._writers:
            if writer.finished < step:
                writer.finish(images, step=step)

    def close(self, status: Status) -> None:
        """End all logs; a slow one is waited for some seconds."""
        until = time.monotonic() + _WAITS_S[status]
        for writer in self._writers:
            writer.close(status)
        for writer in self._writers:
            writer.wait(until - time.monotonic())


@contextlib.contextmanager
def run_log(log: Log, chosen: Loggers) -> Iterator[RunLog]:
    """A log that says how what happens within has ended."""
    opened, status = RunLog(log, chosen), "failed"
    try:
        yield opened
        status = "finished"
    except (KeyboardInterrupt, SystemExit):
        status = "stopped"
        raise
    finally:
        opened.close(status)


def unfinished(folder: Path, chosen: Loggers, step: int) -> Loggers:
    """Those whose log of the run at ``folder`` lacks the end of a training of so many steps."""
    kept = {name: kept_of(folder, name) for name in chosen.names}
    left = tuple(name for name, one in kept.items() if one is None or one.finished < step)
    return replace(chosen, names=left)


def loggers_of(folder: Path) -> Loggers:
    """Those that the run at ``folder`` has been logged by."""
    names = tuple(path.stem for path in sorted((folder / FOLDER).glob("*.json")))
    places = {name: kept.place for name in names if (kept := kept_of(folder, name))}
    known = Loggers(tuple(places))
    return replace(known, **{k: places[k] for k in ("mlflow", "wandb") if k in places})
