"""TensorBoard: RUN/tensorboard/events.out.tfevents.…, a file for each start of the run.

By tensorboardX, which ray[tune] brings. Its ``SummaryWriter`` waits for ever where its thread could
not write, as on a full disk: events are written here without it.
"""

import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2, summary_pb2

from raynef.io.loggers.backend import Log, Plain, Status

FOLDER = "tensorboard"
Event: Any = vars(event_pb2)["Event"]  # protobuf makes them when it is imported
Summary: Any = vars(summary_pb2)["Summary"]


def open_log(log: Log, *, place: str | None, known: str | None) -> "_TensorBoard":
    """As of ``open_backend``; it has no place but the run's folder."""
    return _TensorBoard(log)


class _TensorBoard:
    id = None

    def __init__(self, log: Log) -> None:
        folder = log.folder / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.where = f"tensorboard --logdir {folder}"
        earlier = event_files(folder)
        self._last = _last_step(earlier, log.metrics[0]) if log.metrics else None
        # Of two files of one second the later must not take the place of the earlier.
        self._writer = EventsWriter(str(folder / "events"), f".{len(earlier):04d}")
        if log.config and not earlier:
            experiment, start, _ = summary.hparams(
                {name: value for name, value in log.config.items() if value is not None},
                dict.fromkeys(log.metrics, 0.0),
            )
            self._write(experiment, start, summary.text("recipe", _table(log.config)))

    def last_step(self) -> int | None:
        return self._last

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        found = [summary.scalar(name, value) for name, value in values.items()]
        one = Summary(value=[value for scalar in found for value in scalar.value])
        self._write(one, step=step)  # one record, which is there or not

    def scores(self, values: Mapping[str, float], *, step: int) -> None:
        self.scalars(values, step=step)

    def images(self, images: Mapping[str, np.ndarray], *, step: int) -> None:
        for name, image in images.items():
            self._write(summary.image(name, image, dataformats="HWC"), step=step)

    def close(self, status: Status) -> None:
        self._writer.close()

    def _write(self, *summaries: Any, step: int = 0) -> None:
        for one in summaries:
            self._writer.write_event(Event(wall_time=time.time(), step=step, summary=one))
        self._writer.flush()


def event_files(folder: Path) -> list[Path]:
    """In the order in which they were begun."""
    return sorted(folder.glob("*.tfevents.*"), key=lambda path: path.name.rpartition(".")[2])


def read_events(path: Path) -> Iterator[Any]:
    """Of a file, up to where a kill cut it short. Checksums are not looked at."""
    content, at = path.read_bytes(), 0
    while at + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        end = at + 12 + length
        if end + 4 > len(content):
            return
        yield Event.FromString(content[at + 12 : end])
        at = end + 4


def _last_step(paths: list[Path], metric: str) -> int:
    events = (event for path in paths for event in read_events(path))
    steps = (e.step for e in events if any(value.tag == metric for value in e.summary.value))
    return max(steps, default=0)


def _table(config: Mapping[str, Plain]) -> str:
    """In Markdown, which TensorBoard draws."""
    rows = [f"| {name} | {value} |" for name, value in config.items()]
    return "\n".join(["| field | value |", "|---|---|", *rows])
