"""A plan from sizes and rates, and in words: hours, what limits them, bytes and memory."""

import logging
from typing import Any

from raynef.config.recipe import Recipe
from raynef.jobs.extract import views_together
from raynef.ops import pace
from raynef.ops.cost import Shapes, object_store_bytes, worker_memory

logger = logging.getLogger("raynef")


def estimate(
    recipe: Recipe, shapes: Shapes, rates: pace.Rates, layout: pace.Layout, num_val: int | None
) -> dict[str, Any]:
    """The result of ``raynef plan``, but for its rates and what it assumes.

    Args:
        recipe, shapes, layout: of the run.
        rates: of each piece of it.
        num_val: images that are scored; None leaves evaluation out.
    """
    streamed = recipe.train.features == "streamed"
    stages: dict[str, pace.Stage] = {}
    if streamed:
        stages["scan"] = pace.scan_stage(shapes, rates, layout)
    else:
        stages["features"] = pace.features_stage(shapes, rates, layout)
    stages["training"] = pace.training_stage(shapes, rates, layout, streamed=streamed)
    if num_val is not None:
        together = views_together(shapes.num_views, streamed=streamed)
        stages["evaluation"] = pace.evaluation_stage(num_val, rates, layout, together=together)
    starts = pace.START_SECONDS * (1 if num_val is None else 2)
    longest = max(stages, key=lambda name: stages[name].seconds)
    memory = worker_memory(shapes)
    whole = sum(stage.seconds for stage in stages.values()) + starts
    return {
        "images": shapes.num_images,
        "val_images": num_val,
        "workers": shapes.num_workers,
        "devices": layout.devices,
        "cores": layout.cores,
        "steps": shapes.steps,
        "patches_per_step": shapes.num_patches,
        "hours": {
            **{name: _short(stage.seconds / 3600) for name, stage in stages.items()},
            "start": _short(starts / 3600),
            "all": _short(whole / 3600),
        },
        "limits": {
            **{name: stage.limit for name, stage in stages.items()},
            "all": f"{stages[longest].limit} ({longest})",
        },
        "step_seconds": {
            name: _short(seconds)
            for name, seconds in pace.step_pieces(shapes, rates, layout).items()
        },
        "piece_hours": {
            name: {piece: _short(seconds / 3600) for piece, seconds in stage.pieces.items()}
            for name, stage in stages.items()
        },
        "bytes": pace.moved(shapes, streamed=streamed),
        "worker_memory": {**memory, "all": sum(memory.values())},
        "object_store": object_store_bytes(
            shapes, streamed=streamed, cores=layout.cores, actors=layout.devices
        ),
    }


def _short(value: float) -> float:
    """Four digits: a plan has no more."""
    return float(f"{value:.4g}")


def say(result: dict[str, Any], shapes: Shapes) -> None:
    """The plan in words."""
    hours, limits, size = result["hours"], result["limits"], result["bytes"]
    logger.info(
        "plan: %d images, %d steps of %d images (%d patches) on %d worker(s)",
        result["images"],
        result["steps"],
        shapes.batch_size,
        shapes.num_patches,
        shapes.num_workers,
    )
    for name, value in hours.items():
        limit = f", limited by {limits[name].replace('_', ' ')}" if name in limits else ""
        logger.info("plan: %-10s %s%s", name, _time(value), limit)
    logger.info(
        "plan: store %.3g GB, read %.3g GB; sent by a worker %.3g MB a step, %.3g GB in all",
        size["store"] / pace.GB,
        size["read"] / pace.GB,
        size["sent_per_step_and_worker"] / 1e6,
        size["sent_per_worker"] / pace.GB,
    )
    logger.info(
        "plan: memory of a worker about %.3g GB, object store at least %.3g GB",
        result["worker_memory"]["all"] / pace.GB,
        result["object_store"] / pace.GB,
    )
    for line in result["assumed"]:
        logger.info("plan: assumed: %s", line)


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 2 else f"{hours * 60:.1f} min"
