"""``raynef plan``: hours, bytes and limits of a recipe, from short measurements or stated rates."""

import dataclasses
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from raynef.cluster.devices import device_here, num_cuda
from raynef.cluster.exchange import network_rates
from raynef.config.recipe import Recipe, check
from raynef.core.errors import UserError, require
from raynef.features.backbone import NUM_TAPS, Backbone, create_model
from raynef.images.datasets.registry import open_split
from raynef.jobs.clusters import with_clusters
from raynef.jobs.extract import images_per_shard, views_together
from raynef.ops import rates as here
from raynef.ops.cost import Shapes, edges_per_row, shapes_of, valid_share
from raynef.ops.estimate import estimate, say
from raynef.ops.pace import START_SECONDS, Layout, Rates, StatedRates, stated_only
from raynef.work.views import fitting, view_side

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
_DECODE = "decode_images_per_second"
_EXTRACT = "extract_images_per_second"
_SCORE = "score_images_per_second"
_PAIRS = "pairs_per_second"
_STEP = "step_images_per_second fixed_seconds"
_STORE = "write_gb_per_second store_gb_per_second"
_NETWORK = "network_gb_per_second message_seconds"
"""Names of rates that are measured together."""
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
    known = stated_only(stated or StatedRates())
    counts = {"images": images, "val-images": val_images, "gpus": gpus, "workers": workers}
    _require_counts({**counts, "cores": cores}, known)
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
    recipe = with_clusters(recipe, num_images=num_images)

    model = create_model(recipe.backbone.name)
    backbone = fitting(Backbone(model, name=recipe.backbone.name, tap=recipe.backbone.tap), recipe)
    device = device_here()
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
            scale=(1.0, 1.0) if recipe.data.views == "shifted" else recipe.data.scale,
            aspect=aspect,
            grid=side // backbone.patch_size,
        ),
        images_per_shard=images_per_shard(recipe),
    )
    if not paths:
        assumed.append(f"images are like a drawn one of {aspect:.2f} to 1, at JPEG quality 90")
    case = _Case(recipe, shapes, device, gpus, known)
    layout = _layout(case, cores, assumed)
    measured = _measure(case, backbone, encoded, aspect, score=num_val is not None)
    rates = Rates(**{**_UNUSED, **measured, **known})
    if measured:
        _say_if_busy(assumed)
    _say_what_rates_assume(case, rates, bool(measured), assumed)
    result = estimate(recipe, shapes, rates, layout, num_val)
    result |= {
        "rates": {
            name: {"value": value, "from": "stated" if name in known else "measured"}
            for name, value in dataclasses.asdict(rates).items()
            if name in known or name in measured
        },
        "assumed": assumed,
        "seconds": round(time.monotonic() - started, 1),
    }
    say(result, shapes)
    return result


@dataclass(frozen=True)
class _Case:
    """What is planned, and with what."""

    recipe: Recipe
    shapes: Shapes
    device: torch.device  # of this machine, which is measured
    gpus: int | None  # of the cluster; None for this machine alone
    known: dict[str, float]  # rates that are stated, by name


def _require_counts(counts: dict[str, float | None], known: dict[str, float]) -> None:
    for name, value in counts.items():
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
        paths = [file.path for file in open_split(recipe.data, recipe.data.train_split).files]
        if num_val is None and images is None:
            try:
                num_val = len(open_split(recipe.data, recipe.data.val_split).files)
            except UserError as error:
                assumed.append(f"no validation split was found ({error})")
    if images is None and not paths:
        raise UserError(
            "how many images? Give --images, such as 1.28e6, or --data.root DIR to count them"
        )
    if num_val is None:
        assumed.append("evaluation is left out: give --val-images to have it")
    return (len(paths) if images is None else int(images)), num_val, paths


def _layout(case: _Case, cores: int | None, assumed: list[str]) -> Layout:
    own, gpus, workers = os.cpu_count() or 1, case.gpus, case.shapes.num_workers
    on_gpu = case.device.type == "cuda"
    if gpus is None and on_gpu:
        gpus = num_cuda()
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
    apart = on_gpu or "extract_images_per_second" in case.known
    return Layout(gpus, cores or own * gpus, apart=apart)


def _measure(
    case: _Case, backbone: Backbone, encoded: list[bytes], aspect: float, *, score: bool
) -> dict[str, float]:
    """The rates that are needed and not stated."""
    recipe, shapes, device = case.recipe, case.shapes, case.device
    wanted = _needed(case, score=score) - case.known.keys()
    if not wanted:
        return {}
    logger.info("plan: measuring what was not stated on this machine, about a minute at most")
    cores, usual, found = os.cpu_count() or 1, torch.get_num_threads(), {}
    of_worker = cores if case.gpus is not None else max(1, cores // shapes.num_workers)
    backbone = backbone.to(device)

    def take(names: str, num_threads: int, rates: Callable[[], Sequence[float]]) -> None:
        if wanted & {*names.split()}:
            with here.threads(num_threads):
                found.update(zip(names.split(), rates(), strict=True))

    def extract() -> float:
        return here.extract_rate(backbone, recipe.backbone, shapes.side)

    def decoded() -> float:
        streamed = recipe.train.features == "streamed"
        together = views_together(shapes.num_views, streamed=streamed)
        return here.decode_rate(recipe, encoded, shapes.side, together=together)

    take(_DECODE, 1, lambda: [decoded()])
    take(_EXTRACT, cores, lambda: [extract()])
    take(_SCORE, cores, lambda: [here.score_rate(backbone, recipe, aspect)])
    # Pairs also for a stated search: what is taken off a step is what it takes here.
    if wanted & {*_STEP.split()}:
        wanted.add(_PAIRS)
    take(_PAIRS, of_worker, lambda: [here.pair_rate(shapes, device)])
    take(_STEP, of_worker, lambda: here.step_rates(recipe, shapes, device, found[_PAIRS]))
    take(_STORE, usual, lambda: here.store_rates(shapes, _folder_of_store(recipe)))
    take(_NETWORK, usual, network_rates)
    return found


def _needed(case: _Case, *, score: bool) -> set[str]:
    """The rates that a plan rests on, by name."""
    names = [_DECODE, _EXTRACT]
    names += [_SCORE] if score else []
    names += [_PAIRS, _STEP] if "step_seconds" not in case.known else []
    names += [_STORE] if case.recipe.train.features == "stored" else []
    names += [_NETWORK] if case.shapes.num_workers > 1 else []
    return {*" ".join(names).split()}


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


def _say_what_rates_assume(case: _Case, rates: Rates, measured: bool, assumed: list[str]) -> None:
    """What is taken for granted about the rates; a warning where GPUs are planned without one."""
    known, shapes, gpus = case.known, case.shapes, case.gpus
    without_gpu = gpus is not None and case.device.type != "cuda"
    if without_gpu and not {_EXTRACT, "step_seconds", _PAIRS} & known.keys():
        logger.warning(
            "plan: NO GPU IS HERE. %d GPU(s) are planned at the rates of this machine's "
            "processor, which says nothing about GPUs; state rates, such as "
            "--rates.extract-images-per-second and --rates.step-seconds",
            gpus,
        )
    several = shapes.num_workers > 1
    edges = shapes.slice_patches * edges_per_row(shapes)
    if edges > _MOST_EDGES:
        logger.warning(
            "plan: a worker would hold %.3g edges of the graph, more than the %.3g that 32-bit "
            "indices count: this batch needs more workers",
            edges,
            _MOST_EDGES,
        )
    said = {
        f"no GPU is here: what is not stated was measured on this processor, and {gpus} GPU(s) "
        f"are taken for {gpus} machines like this one": without_gpu and measured,
        f"{gpus} GPUs are {gpus} times the one that was measured": not without_gpu
        and (gpus or 0) > 1
        and measured,
        f"all of --rates.step-seconds divides by {shapes.num_workers} workers": several
        and rates.step_seconds is not None,
        "the network is as fast as the loopback of this machine: state "
        "--rates.network-gb-per-second and --rates.message-seconds": several
        and "network_gb_per_second" not in known,
        "the store is read from memory that the system keeps, not from the disk": (
            "store_gb_per_second" not in known and math.isfinite(rates.store_gb_per_second)
        ),
        "a core reads a file in no time: decoding alone was measured": _DECODE not in known,
        f"Ray and its workers start in {START_SECONDS:.0f} s, once a command": True,
        "workers that compute at the same time do not slow one another": several,
    }
    assumed += [text for text, holds in said.items() if holds]
