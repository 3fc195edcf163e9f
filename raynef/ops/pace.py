"""How long a recipe takes, from sizes and rates: arithmetic, without running anything."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raynef.ops.cost import Exchange, Shapes, exchanges, row_bytes, store_bytes, total

GB = 1e9
START_SECONDS = 45.0
"""Of Ray, its pool and its workers, once for a training and once for an evaluation: on two cores 27
s until the first image had its features, and 15 s until the first step."""


@dataclass(frozen=True)
class StatedRates:
    """Rates that are known; a rate that is given is not measured."""

    decode_images_per_second: float | None = None
    """Training views that one core reads, decodes and augments in a second. A store's views of an
    image share its decoding."""
    extract_images_per_second: float | None = None
    """Training views that the backbone of one device (GPU, or machine without one) takes."""
    score_images_per_second: float | None = None
    """Validation images that one device segments by the recipe's protocol."""
    step_seconds: float | None = None
    """A training step of one worker that holds the whole global batch; all of it is taken to divide
    by the workers. In place of the next three."""
    pairs_per_second: float | None = None
    """Pairs of patches that a worker compares in its search for neighbors, N²/w a step."""
    step_images_per_second: float | None = None
    """Images of a worker's slice for which it does the rest of a step: κ, κu and ψ, forward and
    backward."""
    fixed_seconds: float | None = None
    """What a step takes besides, whatever the slice: optimizer, orthogonal head."""
    store_gb_per_second: float | None = None
    """Read from the feature store, by one worker."""
    write_gb_per_second: float | None = None
    """Written to the feature store, by one machine."""
    network_gb_per_second: float | None = None
    """Sent by one worker while it receives as much."""
    message_seconds: float | None = None
    """Of a message of a few bytes from one worker to another."""


@dataclass(frozen=True)
class Rates:
    """The rates of a plan; units as in ``StatedRates``."""

    decode_images_per_second: float
    extract_images_per_second: float
    score_images_per_second: float
    pairs_per_second: float
    step_images_per_second: float
    fixed_seconds: float
    store_gb_per_second: float
    write_gb_per_second: float
    network_gb_per_second: float
    message_seconds: float
    step_seconds: float | None = None


@dataclass(frozen=True)
class Layout:
    """What the work is spread over."""

    devices: int  # that hold a backbone each: GPUs, or one machine without
    cores: int  # that decode, of all machines
    apart: bool
    """Decoding and the backbone run beside one another (cores and GPUs); on cores alone they share
    them, and their times add up."""
    oversubscription: float = 1.0
    """Workers for each core: where there are more of them, each takes so many times as long."""

    def seconds(self, pieces: Mapping[str, float]) -> float:
        """Of pieces of work that decode and use the backbone."""
        return max(pieces.values()) if self.apart else sum(pieces.values())


def step_pieces(shapes: Shapes, rates: Rates, layout: Layout) -> dict[str, float]:
    """Seconds of one step on the worker with the largest slice, by piece.

    * graph: n·N pairs of patches are compared (of eigenfunctions alone);
    * kernel_and_psi: b images of the slice; κ's rows, κu and the gradient of the loss (n·k·K), and
      ψ forward and backward;
    * fixed: whatever the slice;
    * communication: bytes that it sends over its network, and messages that wait for one another;
    * store_read: b rows, which a thread reads one step ahead.
    """
    workers = shapes.num_workers
    if rates.step_seconds is not None:
        compute = {"step": rates.step_seconds / workers}
    else:
        pairs = 0 if shapes.num_teachers else shapes.slice_patches * shapes.num_patches
        compute = {
            "graph": pairs / rates.pairs_per_second,
            "kernel_and_psi": shapes.slice_size / rates.step_images_per_second,
            "fixed": rates.fixed_seconds,
        }
    exchanged: list[Exchange] = exchanges(shapes)
    hops = sum(exchange.hops(workers) for exchange in exchanged)
    return {
        **{name: seconds * layout.oversubscription for name, seconds in compute.items()},
        "communication": total(exchanged, workers) / (rates.network_gb_per_second * GB)
        + hops * rates.message_seconds,
        "store_read": shapes.slice_size * row_bytes(shapes) / (rates.store_gb_per_second * GB),
    }


def feature_pieces(
    shapes: Shapes, rates: Rates, layout: Layout, *, stored: bool
) -> dict[str, float]:
    """Seconds that one view takes of all machines together, by piece."""
    pieces = {
        "decode": 1 / (rates.decode_images_per_second * layout.cores),
        "backbone": 1 / (rates.extract_images_per_second * layout.devices),
    }
    if stored:
        pieces["store_write"] = row_bytes(shapes) / (
            rates.write_gb_per_second * GB * layout.devices
        )
    return pieces


@dataclass(frozen=True)
class Stage:
    """One stage of a run."""

    seconds: float  # of wall time
    limit: str  # the piece that takes the most
    pieces: dict[str, float]  # seconds of each, as if it ran alone


def _stage(pieces: dict[str, float], seconds: float, count: float) -> Stage:
    pieces = {name: value * count for name, value in pieces.items()}
    return Stage(seconds * count, max(pieces, key=lambda name: pieces[name]), pieces)


def features_stage(shapes: Shapes, rates: Rates, layout: Layout) -> Stage:
    """Extraction of M·V views into the store: the slowest piece with GPUs, the sum without."""
    pieces = feature_pieces(shapes, rates, layout, stored=True)
    return _stage(pieces, layout.seconds(pieces), shapes.num_images * shapes.num_views)


def training_stage(shapes: Shapes, rates: Rates, layout: Layout, *, streamed: bool) -> Stage:
    """All steps.

    Stored: reading runs beside computing and communication, so that the slower of the two counts.
    Streamed: nothing is read; the views of the next batch are decoded beside the step, and the
    backbone shares the device with it. Without GPUs all of it shares the cores.
    """
    pieces = step_pieces(shapes, rates, layout)
    read = pieces["store_read"]
    step = sum(pieces.values()) - read
    if not streamed:
        return _stage(pieces, max(read, step), shapes.steps)
    del pieces["store_read"]
    made = feature_pieces(shapes, rates, layout, stored=False)
    made = {name: value * shapes.batch_size for name, value in made.items()}
    busy = made["backbone"] + step
    seconds = max(made["decode"], busy) if layout.apart else made["decode"] + busy
    return _stage({**pieces, **made}, seconds, shapes.steps)


def scan_stage(shapes: Shapes, rates: Rates, layout: Layout) -> Stage:
    """Streamed training decodes every file once before it starts (at most: not augmented)."""
    pieces = {"decode": 1 / (rates.decode_images_per_second * layout.cores)}
    return _stage(pieces, pieces["decode"], shapes.num_images)


def evaluation_stage(num_val: int, rates: Rates, layout: Layout, *, together: int) -> Stage:
    """Scoring of the validation images by the recipe's protocol, without a CRF. Decoding one takes
    at most what the training views take that are decoded ``together``."""
    pieces = {
        "decode": together / (rates.decode_images_per_second * layout.cores),
        "scoring": 1 / (rates.score_images_per_second * layout.devices),
    }
    return _stage(pieces, layout.seconds(pieces), num_val)


def moved(shapes: Shapes, *, streamed: bool) -> dict[str, Any]:
    """Bytes stored and moved: of the store, read from it, and sent by a worker."""
    sent = total(exchanges(shapes), shapes.num_workers)
    epoch = shapes.steps_per_epoch * shapes.batch_size * row_bytes(shapes)
    return {
        "store": 0 if streamed else store_bytes(shapes),
        "row": row_bytes(shapes),
        "read_per_epoch": 0 if streamed else epoch,
        "read": 0 if streamed else epoch * shapes.epochs,
        "exchanged_per_step": {exchange.what: exchange.payload for exchange in exchanges(shapes)},
        "sent_per_step_and_worker": round(sent),
        "sent_per_worker": round(sent * shapes.steps),
    }


def stated_only(stated: StatedRates) -> dict[str, float]:
    """The rates that are given, by name."""
    values = dataclasses.asdict(stated)
    return {name: value for name, value in values.items() if value is not None}
