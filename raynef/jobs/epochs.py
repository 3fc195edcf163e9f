"""What an epoch of a training says of itself."""

from typing import Any

from raynef.cluster.events import EpochDone
from raynef.config.objective import objective_of
from raynef.config.recipe import Recipe

TERMS = ("loss", "trace", "penalty", "clusters_in_use", "entropy", "columns_below_1")
"""Of the objective, as results name them: means over the steps of an epoch. Of clusterings there
are fewer."""

Steps = list[dict[str, Any]]
"""Lines of steps.jsonl."""


def epoch_summary(recipe: Recipe, history: Steps) -> dict[str, float]:
    """Means over the steps of the last epoch, and ``objective_of``.

    Steps whose global batch had no valid patch count only where an epoch has no others.
    """
    last = [step for step in history if step["epoch"] == history[-1]["epoch"]]
    counted = [step for step in last if step["patches"]] or last
    terms = [name for name in TERMS if name in counted[0]]
    means = {name: sum(step[name] for step in counted) / len(counted) for name in terms}
    objective = objective_of(recipe, means["loss"])
    return {"epoch": last[0]["epoch"] + 1, **means, "objective": objective}


def epochs_done(
    recipe: Recipe, history: Steps, steps_per_epoch: int, ends: dict[int, float], batch_size: int
) -> tuple[EpochDone, ...]:
    """Of each whole epoch in a history.

    Args:
        recipe: of the training.
        history: steps from the beginning of an epoch on.
        steps_per_epoch: global batches of one.
        ends: seconds of training until the end of each epoch, counted from 0, as far as known.
        batch_size: images in a global batch.
    """
    starts = range(0, len(history) - steps_per_epoch + 1, steps_per_epoch)
    parts = [history[start : start + steps_per_epoch] for start in starts]
    return tuple(_epoch_done(recipe, steps, ends, batch_size) for steps in parts)


def _epoch_done(recipe: Recipe, steps: Steps, ends: dict[int, float], batch_size: int) -> EpochDone:
    values = epoch_summary(recipe, steps)
    number, index, last = int(values.pop("epoch")), steps[-1]["epoch"], steps[-1]
    if "cross_entropy" in last:  # with train.leak_labels alone
        values["cross_entropy"] = sum(step["cross_entropy"] for step in steps) / len(steps)
    values |= {"lr": last["lr"], "tau": last["tau"]}
    before = ends.get(index - 1) if index else 0.0
    if index in ends and before is not None:
        values["seconds"] = ends[index] - before
        values["images_per_second"] = len(steps) * batch_size / max(values["seconds"], 1e-9)
    return EpochDone(number, values)
