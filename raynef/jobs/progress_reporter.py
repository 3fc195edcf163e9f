"""Says on the driver how a training goes, from what its workers tell."""

import logging
from typing import Any

from raynef.cluster.progress import Progress

logger = logging.getLogger("raynef")


class ProgressReporter:
    """Logs progress of a training, and what happened to it."""

    def __init__(self, what: str, num_steps: int, batch_size: int) -> None:
        self._what, self._batch_size, self._num_empty = what, batch_size, 0
        self._progress = Progress(
            what, num_steps * batch_size, "images", {"steps": num_steps, "batch_size": batch_size}
        )

    def hear(self, event: dict[str, Any]) -> None:
        """An event of ``Worker.tell``."""
        if "damaged" in event:
            logger.warning("%s: %s; the one before is used", self._what, event["damaged"])
        elif "resumed" in event:
            if event["resumed"]:
                logger.info("%s: going on from step %d", self._what, event["resumed"])
            self._progress.restart_at(event["resumed"] * self._batch_size)
        else:
            step = event["step"]
            if step.get("patches") == 0:
                self._skipped(step)
            self._progress.advance(self._batch_size, _in_words(step), step)

    def _skipped(self, step: dict[str, Any]) -> None:
        """A global batch had no patch to train on: said once."""
        self._num_empty += 1
        if self._num_empty == 1:
            logger.warning(
                "%s: step %d is skipped, for no crop of its global batch holds a whole patch: the "
                "images are smaller than one. Further such steps are skipped and counted",
                self._what,
                step["step"],
            )


def _in_words(step: dict[str, Any]) -> str:
    """The terms of one step, for the line of progress."""
    note = f"loss {step['loss']:.3f}"
    if "trace" in step:
        note = (
            f"epoch {step['epoch'] + 1}  {note}  trace {step['trace']:.3f}  "
            f"clusters {step['clusters_in_use']}"
        )
    return note
