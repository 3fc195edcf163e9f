"""One logger of a run, in a thread of its own: what is slow or fails there stops nothing here.

RUN/loggers/NAME.json    by what the log is opened again, and how far it goes
"""

import contextlib
import dataclasses
import logging
import queue
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from raynef.io.files import read_json, write_json
from raynef.io.loggers.backend import Backend, Log, Status, open_backend

logger = logging.getLogger("raynef")

FOLDER = "loggers"
_USER = re.compile(r"(?<=://)[^/@]*@")  # and a password, in an address
_MOST_WORDS = 200  # of an error, in characters


@dataclass(frozen=True)
class Kept:
    """What a run knows of one of its logs.

    Attributes:
        id: of the log, where it has one.
        place: address or project, as given, without a user and password.
        step: the last that was written.
        finished: steps of the training whose end was written; 0 before.
        scores: that were written last, by name.
    """

    id: str | None = None
    place: str | None = None
    step: int = 0
    finished: int = 0
    scores: dict[str, float] = field(default_factory=dict)


def kept_of(folder: Path, name: str) -> Kept | None:
    """None where the run at ``folder`` has no such log, or its file is damaged."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Kept(**read_json(folder / FOLDER / f"{name}.json"))
    return None


class Writer:
    """Writes to one logger, step after step.

    Args:
        name: of the logger.
        log: what it is of.
        place: address or project; None: the one that is kept.
    """

    def __init__(self, name: str, log: Log, place: str | None) -> None:
        self.name, self._log, self._place = name, log, place
        self._kept = kept_of(log.folder, name) or Kept()
        self.finished = self._kept.finished
        self._tasks: queue.SimpleQueue[Callable[[Backend], None] | None] = queue.SimpleQueue()
        self._status: Status = "failed"
        self._thread = threading.Thread(target=self._work, daemon=True, name=f"logger {name}")
        self._thread.start()

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        """Write the values of a step, unless it is there."""

        def write(backend: Backend) -> None:
            if step > self._kept.step:
                backend.scalars(values, step=step)
                self._keep(step=step)

        self._tasks.put(write)

    def scores(self, values: Mapping[str, float], *, step: int) -> None:
        """Write what comes once, unless the same was written before."""

        def write(backend: Backend) -> None:
            known = self._kept.scores
            if any(known.get(name) != value for name, value in values.items()):
                backend.scores(values, step=step)
                self._keep(scores={**known, **values})

        self._tasks.put(write)

    def finish(self, images: Mapping[str, np.ndarray], *, step: int) -> None:
        """Write the pictures of a training that is done; it is finished with ``step``."""

        def write(backend: Backend) -> None:
            backend.images(images, step=step)
            self._keep(finished=step)

        self._tasks.put(write)

    def close(self, status: Status) -> None:
        """Let it end once all is written; does not wait."""
        self._status = status
        self._tasks.put(None)

    def wait(self, seconds: float) -> None:
        """For what is left to be written, at most so long."""
        self._thread.join(timeout=max(0.0, seconds))
        if self._thread.is_alive():
            logger.warning(
                "logger %s does not answer, and is left behind; rerun the same command to complete "
                "the log",
                self.name,
            )

    def _work(self) -> None:
        try:
            place = self._place or self._kept.place
            backend = open_backend(self.name, self._log, place=place, known=self._kept.id)
            last = backend.last_step()
            shown = None if place is None else _USER.sub("", place)
            step = self._kept.step if last is None else last
            self._keep(id=backend.id, place=shown, step=step)
            logger.info("logger %s: %s", self.name, backend.where)
            while (task := self._tasks.get()) is not None:
                task(backend)
            backend.close(self._status)
        except Exception as error:  # noqa: BLE001  # of any library; the job is worth more
            words = " ".join(str(error).split())[:_MOST_WORDS]
            what = f"{type(error).__name__}: {words}" if words else type(error).__name__
            logger.warning("logger %s stops, all else goes on: %s", self.name, what)

    def _keep(self, **values: object) -> None:
        self._kept = dataclasses.replace(self._kept, **values)  # type: ignore[arg-type]
        write_json(self._log.folder / FOLDER / f"{self.name}.json", dataclasses.asdict(self._kept))
