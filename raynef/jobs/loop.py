"""The training loop, the same on a worker of Ray Train and in a process of its own."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raynef.assign.teachers import Teachers
from raynef.cluster.events import EpochDone, Fatal, Resumed, Stepped
from raynef.cluster.worker import Worker
from raynef.config.recipe import Recipe
from raynef.core.errors import NonFiniteLossError
from raynef.core.stopwatch import Stopwatch
from raynef.features.weights import read_state
from raynef.io.checkpoints import State
from raynef.jobs.batches import StoredViews, StreamedViews
from raynef.jobs.epochs import Steps, epoch_summary, epochs_done
from raynef.models.training import Trainer

if TYPE_CHECKING:
    from raynef.work.labels import PatchLabels


@dataclass(frozen=True)
class Training:
    """What every worker of a training is given.

    Attributes:
        in_dim: T·D, features that ψ sees of a patch.
        num_steps: of the whole training.
        lengths: epochs that the run was given so far, one after the other.
        start: file of the weights that ψ starts from; None: from its seed.
        labels: with ``train.leak_labels`` alone.
        teachers: where ``eigen.objective`` is clusterings.
    """

    recipe: Recipe
    source: StoredViews | StreamedViews
    in_dim: int
    batch_size: int
    num_steps: int
    lengths: list[int]
    start: Path | None = None
    labels: "PatchLabels | None" = None
    teachers: Teachers | None = None


def train_loop(config: dict[str, Any], worker: Worker) -> None:
    """This worker's slices of each global batch; a checkpoint after each epoch, and between.

    ``config`` holds a ``Training`` under that name.
    """
    training: Training = config["training"]
    recipe, labels = training.recipe, training.labels
    watch = Stopwatch(worker.device)
    trainer = Trainer(
        recipe,
        in_dim=training.in_dim,
        num_steps=training.num_steps,
        device=worker.device,
        collectives=worker.collectives,
        num_classes=labels.num_classes if labels else 0,
        teachers=training.teachers,
        watch=watch,
    )
    state: State = {
        "in_dim": training.in_dim,
        "history": [],
        "seconds": 0.0,
        "images_done": 0,
        "split": {},
        "ends": {},
    }
    saved = worker.restore()
    if saved is not None:
        trainer.load_state_dict(saved.pop("trainer"))
        state.update(saved)
    elif training.start is not None:
        trainer.start_from(read_state(training.start))
    state["precision"] = "bfloat16" if trainer.half else "float32"  # of this device
    state["lengths"] = _lengths(state, training.lengths, recipe.train.epochs)
    steps_per_epoch = training.num_steps // recipe.train.epochs

    def whole_epochs(steps: Steps) -> tuple[EpochDone, ...]:
        return epochs_done(recipe, steps, steps_per_epoch, state["ends"], training.batch_size)

    worker.tell(Resumed(len(state["history"]), whole_epochs(state["history"])))
    before, mark = state["seconds"], time.monotonic()

    def seconds() -> float:
        return before + time.monotonic() - mark

    def kept() -> State:
        return {**state, "seconds": seconds(), "trainer": trainer.state_dict()}

    slices = training.source.slices(
        recipe, worker.collectives, len(state["history"]), worker.device
    )
    while True:
        with watch.running("features"):
            slice_ = next(slices, None)
        if slice_ is None:
            return
        try:
            shares = labels and labels.read(slice_.images, view=slice_.view)
            record = trainer.step(
                slice_.features,
                slice_.images,
                epoch=slice_.epoch,
                labels=shares,
                reference=slice_.reference,
            )
        except NonFiniteLossError as error:  # the same on every rank; a retry would end the same
            worker.tell(Fatal(str(error)))
            return
        ends = (len(state["history"]) + 1) % steps_per_epoch == 0
        metrics, split = record.as_dict(), watch.lap(wait=ends)
        state["split"] = {part: state["split"].get(part, 0.0) + split[part] for part in split}
        worker.tell(Stepped(metrics, split))
        state["history"].append(metrics)
        state["images_done"] += training.batch_size
        step = len(state["history"])
        if ends:
            state["ends"][slice_.epoch] = seconds()
            last = state["history"][-steps_per_epoch:]
            worker.save(kept(), epoch_summary(recipe, last), trainer, step=step)
            for done in whole_epochs(last):
                worker.tell(done)
        else:
            worker.keep(kept, step=step)


def _lengths(state: State, epochs_so_far: list[int], epochs: int) -> list[dict[str, int]]:
    """The lengths that a training had, in epochs, each with the step from which it had it.

    Of a checkpoint that says nothing, the first of ``epochs_so_far``, which the run was given.
    """
    lengths = state.get("lengths") or [{"epochs": epochs_so_far[0], "from_step": 0}]
    if not state["history"]:
        lengths = []
    if lengths and lengths[-1]["epochs"] == epochs:
        return lengths
    return [*lengths, {"epochs": epochs, "from_step": len(state["history"])}]
