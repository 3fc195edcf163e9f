"""Says on the driver how a training goes, from what its workers tell."""

import logging
from collections.abc import Mapping

from raynef.cluster.events import Damaged, Event, Resumed, Stepped
from raynef.cluster.progress import Progress

logger = logging.getLogger("raynef")


class ProgressReporter:
    """Logs progress of a training, and what happened to it."""

    def __init__(self, what: str, num_steps: int, batch_size: int) -> None:
        self._what, self._batch_size, self._any_empty = what, batch_size, False
        facts = {"steps": num_steps, "batch_size": batch_size}
        self._progress = Progress(what, num_steps * batch_size, "images", facts)

    def hear(self, event: Event) -> None:
        """An event of ``Worker.tell``."""
        if isinstance(event, Damaged):
            logger.warning("%s: %s; the one before is used", self._what, event.reason)
        elif isinstance(event, Resumed):
            if event.step:
                logger.info("%s: going on from step %d", self._what, event.step)
            self._progress.restart_at(event.step * self._batch_size)
        elif isinstance(event, Stepped):
            if event.terms.get("patches") == 0 and not self._any_empty:  # said once
                self._any_empty = True
                logger.warning(
                    "%s: step %d is skipped, for no crop of its global batch holds a whole patch: "
                    "the images are smaller than one. Further such steps are skipped and counted",
                    self._what,
                    event.terms["step"],
                )
            self._progress.advance(self._batch_size, _in_words(event.terms), event.terms)


def _in_words(terms: Mapping[str, float]) -> str:
    """The terms of one step, for the line of progress."""
    loss = f"loss {terms['loss']:.3f}"
    if "clusters_in_use" not in terms:  # of another network than ψ
        return loss
    trace = f"  trace {terms['trace']:.3f}" if "trace" in terms else ""
    return f"epoch {terms['epoch'] + 1}  {loss}{trace}  clusters {terms['clusters_in_use']}"
