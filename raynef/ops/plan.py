"""``raynef plan``: hours, bytes and limits of a recipe, from short measurements or stated rates."""

import dataclasses
import logging
import math
import os
import time
from typing import Any

import torch

from raynef.cluster.exchange import network_rates
from raynef.config.recipe import Recipe, check
from raynef.core.errors import UserError, require
from raynef.features.backbone import NUM_TAPS, Backbone, create_model
from raynef.images.datasets.registry import open_split
from raynef.jobs.extract import images_per_shard
from raynef.jobs.views import fitting, view_side
from raynef.ops import rates as here
from raynef.ops.cost import (
    Shapes,
    edges_per_row,
    object_store_bytes,
    shapes_of,
    valid_share,
    worker_memory,
)
from raynef.ops.pace import (
    GB,
    START_SECONDS,
    Layout,
    Rates,
    Stage,
    StatedRates,
    evaluation_stage,
    features_stage,
    moved,
    scan_stage,
    stated_only,
    step_pieces,
    training_stage,
)

logger = logging.getLogger("raynef")

_UNUSED: dict[str, float] = {
    "score_images_per_second": math.inf,
    "pairs_per_second": math.inf,
    "step_images_per_second": math.inf,
    "fixed_seconds": 0.0,
    "store_gb_per_second": math.inf,
    "write_gb_per_second": math.inf,
    "network_gb_per_second": math.inf,
    "message_seconds": 0.0,
}
"""Rates of what takes no time in a plan: it is not part of it, or within another rate."""
_MOST_EDGES = 2**31 - 1  # of a worker's share of κ; see raynef.core.kernel.csr


def plan(
    recipe: Recipe,
    *,
    images: float | None = None,
    val_images: float | None = None,
    gpus: int | None = None,
    workers: int | None = None,
    cores: int | None = None,
    stated: StatedRates | None = None,
) -> dict[str, Any]:
    """Estimate a run of ``raynef train`` and ``raynef evaluate``; the result of ``raynef plan``.

    Nothing is trained or stored and Ray is not started. Weights are not loaded: random ones take
    as long.

    Args:
        recipe: of the run; its ``train.num_workers`` gives way to ``gpus`` and ``workers``.
        images: that train; counted under ``data.root`` if None.
        val_images: that are scored; counted likewise, or left out.
        gpus: of the cluster, each with a machine like this one around it; None: this machine.
        workers: that train; by default one for each GPU.
        cores: that decode, of the whole cluster; by default this machine's for each GPU.
        stated: rates that replace their measurements.

    Raises:
        UserError: a count or a rate that cannot be, or no way to know how many images there are.
    """
    started = time.monotonic()
    stated = stated or StatedRates()
    known = stated_only(stated)
    _require_counts(images, val_images, gpus, workers, cores, known)
    workers = workers or gpus or recipe.train.num_workers
    if gpus and workers > gpus:
        raise UserError(f"--workers {workers} need a GPU each, but --gpus is {gpus}")
    recipe = check(
        dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, num_workers=workers))
    )
    assumed: list[str] = []
    num_images, num_val, paths = _count(recipe, images, val_images, assumed)
    if num_images < workers:
        raise UserError(f"{num_images} images cannot be shared by {workers} workers")

    model = create_model(recipe.backbone.name)
    backbone = fitting(Backbone(model, name=recipe.backbone.name, tap=recipe.backbone.tap), recipe)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoded = here.encoded_images(paths)
    aspect = here.aspect_of(encoded)
    side = view_side(recipe)
    shapes = shapes_of(
        recipe,
        num_images=num_images,
        num_workers=workers,
        side=side,
        patch_size=backbone.patch_size,
        dim=backbone.dim,
        num_taps=NUM_TAPS,
        valid=valid_share(
            short_side=recipe.data.short_side,
            crop=recipe.data.crop,
            scale=recipe.data.scale,
            aspect=aspect,
            grid=side // backbone.patch_size,
        ),
        images_per_shard=images_per_shard(recipe),
    )
    if not paths:
        assumed.append(f"images are like a drawn one of {aspect:.2f} to 1, at JPEG quality 90")
    layout = _layout(device, gpus, workers, cores, known, assumed)
    measured = _measure(
        recipe, shapes, backbone, device, encoded, aspect, known, on_gpus=gpus is not None,
        score=num_val is not None,
    )  # fmt: skip
    rates = Rates(**{**_UNUSED, **measured, **known})
    if measured:
        _say_if_busy(assumed)
    _say_what_rates_assume(rates, known, measured, shapes, device, gpus, assumed)
    result = _estimate(recipe, shapes, rates, layout, num_val)
    result |= {
        "rates": {
            name: {"value": value, "from": "stated" if name in known else "measured"}
            for name, value in dataclasses.asdict(rates).items()
            if name in known or name in measured
        },
        "assumed": assumed,
        "seconds": round(time.monotonic() - started, 1),
    }
    _say(result, shapes)
    return result


def _require_counts(
    images: float | None,
    val_images: float | None,
    gpus: int | None,
    workers: int | None,
    cores: int | None,
    known: dict[str, float],
) -> None:
    counts = {"images": images, "val-images": val_images, "gpus": gpus, "workers": workers}
    for name, value in {**counts, "cores": cores}.items():
        right = value is None or (math.isfinite(value) and value >= 1 and value == int(value))
        require(right, f"--{name}", "a whole number >= 1", value)
    for name, value in known.items():
        shown = f"--rates.{name.replace('_', '-')}"
        free = name in ("fixed_seconds", "message_seconds")
        right = math.isfinite(value) and (value > 0 or (free and value == 0))
        require(right, shown, "finite and " + (">= 0" if free else "> 0"), value)


def _count(
    recipe: Recipe, images: float | None, val_images: float | None, assumed: list[str]
) -> tuple[int, int | None, list[str]]:
    """Images that train, those that are scored if known, and some paths to measure with."""
    paths: list[str] = []
    num_val = None if val_images is None else int(val_images)
    if recipe.data.root:
        found = open_split(recipe.data, recipe.data.train_split)
        paths = [file.path for file in found.files]
        if num_val is None and images is None:
            num_val = _count_val(recipe, assumed)
    if images is None and not paths:
        raise UserError(
            "how many images? Give --images, such as 1.28e6, or --data.root DIR to count them"
        )
    if num_val is None:
        assumed.append("evaluation is left out: give --val-images to have it")
    return (len(paths) if images is None else int(images)), num_val, paths


def _count_val(recipe: Recipe, assumed: list[str]) -> int | None:
    """Of the validation split; None where the data set has none."""
    try:
        return len(open_split(recipe.data, recipe.data.val_split).files)
    except UserError as error:
        assumed.append(f"no validation split was found ({error})")
        return None


def _layout(
    device: torch.device,
    gpus: int | None,
    workers: int,
    cores: int | None,
    known: dict[str, float],
    assumed: list[str],
) -> Layout:
    own = os.cpu_count() or 1
    if gpus is None and device.type == "cuda":
        gpus = torch.cuda.device_count()
        assumed.append(f"{gpus} GPU(s), those of this machine")
        return Layout(gpus, cores or own, apart=True)
    if gpus is None:
        assumed.append(
            f"this machine alone: {own} cores, which decoding, backbone and {workers} worker(s) "
            "share"
        )
        return Layout(1, cores or own, apart=False, oversubscription=max(1.0, workers / own))
    if cores is None:
        assumed.append(f"{own} cores beside each GPU, as many as this machine has: give --cores")
    apart = device.type == "cuda" or "extract_images_per_second" in known
    return Layout(gpus, cores or own * gpus, apart=apart)


def _measure(
    recipe: Recipe,
    shapes: Shapes,
    backbone: Backbone,
    device: torch.device,
    encoded: list[bytes],
    aspect: float,
    known: dict[str, float],
    *,
    on_gpus: bool,
    score: bool,
) -> dict[str, float]:
    """The rates that are needed and not stated."""
    wanted = _needed(recipe, shapes, known, score=score) - known.keys()
    if not wanted:
        return {}
    logger.info("plan: measuring what was not stated on this machine, about a minute at most")
    cores = os.cpu_count() or 1
    worker_threads = cores if on_gpus else max(1, cores // shapes.num_workers)
    found: dict[str, float] = {}
    backbone = backbone.to(device)
    if "decode_images_per_second" in wanted:
        with here.threads(1):
            found["decode_images_per_second"] = here.decode_rate(recipe, encoded, shapes.side)
    with here.threads(cores):
        if "extract_images_per_second" in wanted:
            found["extract_images_per_second"] = here.extract_rate(
                backbone, shapes.side, recipe.backbone.batch_size
            )
        if "score_images_per_second" in wanted:
            found["score_images_per_second"] = here.score_rate(backbone, recipe, aspect)
    with here.threads(worker_threads):
        rest = {"step_images_per_second", "fixed_seconds"} & wanted
        if rest or "pairs_per_second" in wanted:
            # Also for a stated search: what is taken off a step is what it takes here.
            found["pairs_per_second"] = here.pair_rate(shapes, device)
        if rest:
            each, fixed = here.step_rates(recipe, shapes, device, found["pairs_per_second"])
            found |= {"step_images_per_second": each, "fixed_seconds": fixed}
    if {"store_gb_per_second", "write_gb_per_second"} & wanted:
        written, read = here.store_rates(shapes, _folder_of_store(recipe))
        found |= {"write_gb_per_second": written, "store_gb_per_second": read}
    if {"network_gb_per_second", "message_seconds"} & wanted:
        rate, message = network_rates()
        found |= {"network_gb_per_second": rate, "message_seconds": message}
    return found


def _needed(recipe: Recipe, shapes: Shapes, known: dict[str, float], *, score: bool) -> set[str]:
    """The rates that a plan rests on, by name."""
    names = {"decode_images_per_second", "extract_images_per_second"}
    if score:
        names.add("score_images_per_second")
    if "step_seconds" not in known:
        names |= {"pairs_per_second", "step_images_per_second", "fixed_seconds"}
    if recipe.train.features == "stored":
        names |= {"store_gb_per_second", "write_gb_per_second"}
    if shapes.num_workers > 1:
        names |= {"network_gb_per_second", "message_seconds"}
    return names


def _folder_of_store(recipe: Recipe) -> str | None:
    """A folder that is there on the disk of a named store, or None."""
    folder = recipe.train.store
    while folder and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder or None


def _say_if_busy(assumed: list[str]) -> None:
    """Other work that has its share of the machine makes all rates too low."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores + 1:  # one is this process
        logger.warning("plan: the machine is busy (load %.1f on %d cores)", load, cores)
        assumed.append(
            f"other work had its share of this machine (load {load:.1f} on {cores} cores): what "
            "was measured is too slow for an idle one; measure again when it is"
        )


def _say_what_rates_assume(
    rates: Rates,
    known: dict[str, float],
    measured: dict[str, float],
    shapes: Shapes,
    device: torch.device,
    gpus: int | None,
    assumed: list[str],
) -> None:
    """What is taken for granted about the rates; a warning where GPUs are planned without one."""
    work = {"extract_images_per_second", "step_seconds", "pairs_per_second"}
    if gpus is not None and device.type != "cuda" and not work & known.keys():
        logger.warning(
            "plan: NO GPU IS HERE. %d GPU(s) are planned at the rates of this machine's "
            "processor, which says nothing about GPUs; state rates, such as "
            "--rates.extract-images-per-second and --rates.step-seconds",
            gpus,
        )
    if gpus is not None and device.type != "cuda" and measured:
        assumed.append(
            f"no GPU is here: what is not stated was measured on this processor, and {gpus} GPU(s) "
            f"are taken for {gpus} machines like this one"
        )
    elif gpus is not None and gpus > 1 and measured:
        assumed.append(f"{gpus} GPUs are {gpus} times the one that was measured")
    if rates.step_seconds is not None and shapes.num_workers > 1:
        assumed.append(f"all of --rates.step-seconds divides by {shapes.num_workers} workers")
    if shapes.num_workers > 1 and "network_gb_per_second" not in known:
        assumed.append(
            "the network is as fast as the loopback of this machine: state "
            "--rates.network-gb-per-second and --rates.message-seconds"
        )
    if "store_gb_per_second" not in known and math.isfinite(rates.store_gb_per_second):
        assumed.append("the store is read from memory that the system keeps, not from the disk")
    if "decode_images_per_second" not in known:
        assumed.append("a core reads a file in no time: decoding alone was measured")
    if shapes.slice_patches * edges_per_row(shapes) > _MOST_EDGES:
        logger.warning(
            "plan: a worker would hold %.3g edges of the graph, more than the %.3g that 32-bit "
            "indices count: this batch needs more workers",
            shapes.slice_patches * edges_per_row(shapes),
            _MOST_EDGES,
        )
    assumed.append(f"Ray and its workers start in {START_SECONDS:.0f} s, once a command")
    if shapes.num_workers > 1:
        assumed.append("workers that compute at the same time do not slow one another")


def _estimate(
    recipe: Recipe, shapes: Shapes, rates: Rates, layout: Layout, num_val: int | None
) -> dict[str, Any]:
    streamed = recipe.train.features == "streamed"
    stages: dict[str, Stage] = {}
    if streamed:
        stages["scan"] = scan_stage(shapes, rates, layout)
    else:
        stages["features"] = features_stage(shapes, rates, layout)
    stages["training"] = training_stage(shapes, rates, layout, streamed=streamed)
    if num_val is not None:
        stages["evaluation"] = evaluation_stage(num_val, rates, layout)
    starts = START_SECONDS * (1 if num_val is None else 2)
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
            name: _short(seconds) for name, seconds in step_pieces(shapes, rates, layout).items()
        },
        "piece_hours": {
            name: {piece: _short(seconds / 3600) for piece, seconds in stage.pieces.items()}
            for name, stage in stages.items()
        },
        "bytes": moved(shapes, streamed=streamed),
        "worker_memory": {**memory, "all": sum(memory.values())},
        "object_store": object_store_bytes(
            shapes, streamed=streamed, cores=layout.cores, actors=layout.devices
        ),
    }


def _short(value: float) -> float:
    """Four digits: a plan has no more."""
    return float(f"{value:.4g}")


def _say(result: dict[str, Any], shapes: Shapes) -> None:
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
        size["store"] / GB,
        size["read"] / GB,
        size["sent_per_step_and_worker"] / 1e6,
        size["sent_per_worker"] / GB,
    )
    logger.info(
        "plan: memory of a worker about %.3g GB, object store at least %.3g GB",
        result["worker_memory"]["all"] / GB,
        result["object_store"] / GB,
    )
    for line in result["assumed"]:
        logger.info("plan: assumed: %s", line)


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 2 else f"{hours * 60:.1f} min"
