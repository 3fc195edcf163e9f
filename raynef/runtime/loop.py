"""The training loop, the same on a worker of Ray Train and in a process of its own."""

import time
from pathlib import Path
from typing import Any, Protocol

import torch

from raynef.core.collectives import Collectives
from raynef.core.errors import NonFiniteLossError
from raynef.core.objective import share_of_bound
from raynef.core.recipe import Recipe, from_dict
from raynef.runtime.batches import Batches, StoredBatches, StreamedBatches
from raynef.runtime.store import FeatureStore
from raynef.training import Trainer

State = dict[str, Any]
CHECKPOINT = "trainer.pt"
TERMS = ("loss", "trace", "penalty", "clusters_in_use", "entropy", "columns_below_1")
"""Of the objective, as results name them: means over the steps of an epoch."""


class Worker(Protocol):
    """What the loop needs of the place that it runs in."""

    device: torch.device
    collectives: Collectives

    def restore(self) -> State | None:
        """What the last ``save`` kept, on this or an earlier try; None at the first."""
        ...

    def tell(self, event: dict[str, Any]) -> None:
        """Say what happened; ``{"fatal": message}`` ends the training."""
        ...

    def save(self, state: State, summary: dict[str, float], trainer: Any) -> None:
        """Keep the state at the end of an epoch, and report its summary."""
        ...


def train_loop(config: dict[str, Any], worker: Worker) -> None:
    """This worker's slices of each global batch; a checkpoint after each epoch."""
    recipe = from_dict(config["recipe"])
    collectives = worker.collectives
    trainer = Trainer(
        recipe,
        in_dim=config["in_dim"],
        num_steps=config["num_steps"],
        device=worker.device,
        collectives=collectives,
        num_classes=config["labels"].num_classes if config["labels"] else 0,
    )
    state: State = {
        "in_dim": config["in_dim"],
        "next_epoch": 0,
        "history": [],
        "seconds": 0.0,
        "images_done": 0,
    }
    saved = worker.restore()
    if saved is not None:
        trainer.load_state_dict(saved.pop("trainer"))
        state.update(saved)
    worker.tell({"resumed": len(state["history"])})

    steps_per_epoch = config["num_steps"] // recipe.train.epochs
    mark = time.monotonic()
    for slice_ in _batches(config, recipe, collectives).slices(state["next_epoch"]):
        try:
            labels = config["labels"] and config["labels"].read(slice_.images, view=slice_.view)
            metrics = trainer.step(
                slice_.features, slice_.images, epoch=slice_.epoch, labels=labels
            )
        except NonFiniteLossError as error:  # the same on every rank; a retry would end the same
            worker.tell({"fatal": str(error)})
            return
        worker.tell({"step": metrics})
        state["history"].append(metrics)
        state["images_done"] += config["batch_size"]
        if (metrics["step"] + 1) % steps_per_epoch == 0:
            state["next_epoch"] = slice_.epoch + 1
            state["seconds"] += time.monotonic() - mark
            worker.save(
                {**state, "trainer": trainer.state_dict()},
                epoch_summary(recipe, state["history"]),
                trainer,
            )
            mark = time.monotonic()


def epoch_summary(recipe: Recipe, history: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the steps of the last epoch, and the objective as ``share_of_bound``."""
    last = [step for step in history if step["epoch"] == history[-1]["epoch"]]
    means = {name: sum(step[name] for step in last) / len(last) for name in TERMS}
    objective = share_of_bound(recipe, means["loss"])
    return {"epoch": last[0]["epoch"] + 1, **means, "objective": objective}


def load_checkpoint(folder: str | Path) -> State:
    """The state that a folder holds, on the CPU."""
    return torch.load(Path(folder) / CHECKPOINT, map_location="cpu", weights_only=True)


def _batches(config: dict[str, Any], recipe: Recipe, collectives: Collectives) -> Batches:
    if config["store"] is not None:
        return StoredBatches(recipe, FeatureStore(config["store"]), collectives)
    return StreamedBatches(recipe, config["images"], config["usable"], collectives)
