"""Training steps of w workers, simulated from pieces: phases of work, each ended by an exchange.

A phase takes each worker its seconds times noise; an exchange begins when the last worker has come
to it. What a worker waits for others is counted as waiting, apart from the work and the exchange.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import nnls

from raynef.core.draws import generator
from raynef.ops.cost import Exchange, Shapes, exchanges, psi_parameters
from raynef.ops.pace import GB

TERMS = ("fixed", "images", "pairs", "rows")
"""What the seconds of a phase are made of: a constant, b images of the worker's slice, n·N pairs of
patches, N rows."""

WORKERS = tuple(2**power for power in range(11))
STRONG = 1024
"""Images of the global batch that does not grow."""
WEAK = 16
"""Images of each worker where it does."""


@dataclass(frozen=True)
class Slice:
    """The sizes that a phase depends on."""

    images: int  # b of this worker
    own_rows: int  # n
    rows: int  # N of the global batch

    @property
    def terms(self) -> np.ndarray:
        """A number for each of ``TERMS``."""
        return np.array([1, self.images, self.own_rows * self.rows, self.rows], dtype=float)


@dataclass(frozen=True)
class Phase:
    """Work between two exchanges: seconds are ``coefficients`` · terms."""

    before: str  # the exchange that ends it; "end" of the last
    coefficients: np.ndarray

    def seconds(self, slice_: Slice) -> np.ndarray:
        """Of each term."""
        return self.coefficients * slice_.terms


def fitted(
    before: str, slices: Sequence[Slice], seconds: Sequence[float], terms: Sequence[str] = TERMS
) -> Phase:
    """The phase of these terms whose seconds are nearest to measured ones, in proportion; none
    negative."""
    target = np.maximum(np.array(seconds), 1e-7)
    matrix = np.stack([slice_.terms for slice_ in slices])
    matrix *= [name in terms for name in TERMS]
    scale = matrix.max(axis=0).clip(1)
    coefficients, _ = nnls(matrix / scale / target[:, None], np.ones(len(target)))
    return Phase(before, coefficients / scale)


@dataclass(frozen=True)
class Network:
    """What an exchange takes: messages that wait for one another, and bytes that a worker sends."""

    message_seconds: float
    gb_per_second: Mapping[str, float]  # by kind of exchange

    def seconds(self, exchange: Exchange, workers: int) -> tuple[float, float]:
        """Of messages, and of bytes."""
        if workers == 1:
            return 0.0, 0.0
        rate = self.gb_per_second[exchange.kind] * GB
        return exchange.hops(workers) * self.message_seconds, exchange.sent(workers) / rate


@dataclass(frozen=True)
class Step:
    """Mean seconds of a step, and of what it is made on the worker that is waited for."""

    seconds: float
    parts: dict[str, float]  # TERMS, waiting, messages, bytes

    def beyond(self, alone: "Step", ideal: float) -> str:
        """The part that is furthest beyond so much of what it takes one worker."""
        return max(self.parts, key=lambda name: self.parts[name] - ideal * alone.parts[name])


def slices_of(shapes: Shapes) -> list[Slice]:
    """Of every worker, consecutive parts of the batch whose sizes differ by at most one image."""
    per_image = shapes.patches_per_view * shapes.valid_share
    sizes = [len(part) for part in np.array_split(np.arange(shapes.batch_size), shapes.num_workers)]
    return [Slice(size, round(size * per_image), shapes.num_patches) for size in sizes]


def simulate(
    shapes: Shapes,
    phases: Sequence[Phase],
    network: Network,
    *,
    noise: np.ndarray,
    cores: int | None = None,
    steps: int = 200,
    seed: int = 0,
) -> Step:
    """The mean step of so many.

    Args:
        shapes: of the batch and the workers.
        phases: of a step, in order; each but the last is named by the exchange that ends it.
        network: between the workers.
        noise: factors that a phase's seconds may have, drawn for each worker, step and phase.
        cores: that all workers share, where they are on one machine; None: each has its own.
    """
    workers = shapes.num_workers
    crowd = 1.0 if cores is None else max(1.0, workers / cores)
    draws = generator("scaling", seed, workers)
    exchanged = {exchange.what: exchange for exchange in exchanges(shapes)}
    slices = slices_of(shapes)
    total, parts = 0.0, dict.fromkeys((*TERMS, "waiting", "messages", "bytes"), 0.0)
    for phase in phases:
        terms = crowd * np.stack([phase.seconds(slice_) for slice_ in slices])  # [w, terms]
        own = terms.sum(axis=1)
        slowest = int(own.argmax())
        taken = (own * draws.choice(noise, (steps, workers))).max(axis=1).mean()
        for name, seconds in zip(TERMS, terms[slowest], strict=True):
            parts[name] += seconds
        parts["waiting"] += taken - own[slowest]
        total += taken
        if phase.before in exchanged:
            messages, bytes_ = network.seconds(exchanged[phase.before], workers)
            parts["messages"] += crowd * messages
            parts["bytes"] += crowd * bytes_
            total += crowd * (messages + bytes_)
    return Step(float(total), {name: float(seconds) for name, seconds in parts.items()})


def with_workers(shapes: Shapes, workers: int, *, batch_size: int | None = None) -> Shapes:
    """The same recipe on so many workers."""
    return replace(shapes, num_workers=workers, batch_size=batch_size or shapes.batch_size)


def curve(
    shapes: Shapes, phases: Sequence[Phase], network: Network, noise: np.ndarray, *, weak: bool
) -> list[dict[str, Any]]:
    """A step on each number of workers."""
    points: list[dict[str, Any]] = []
    alone: Step | None = None
    for workers in WORKERS:
        images = WEAK * workers if weak else STRONG
        spread = with_workers(shapes, workers, batch_size=images)
        step = simulate(spread, phases, network, noise=noise)
        alone = alone or step
        ideal = 1.0 if weak else 1 / workers  # of a step of one worker
        points.append(
            {
                "workers": workers,
                "images": images,
                "seconds": short(step.seconds),
                "efficiency": round(alone.seconds * ideal / step.seconds, 3),
                "costs_most": step.beyond(alone, ideal) if workers > 1 else None,
                "parts": {name: short(seconds) for name, seconds in step.parts.items()},
            }
        )
    return points


def short(value: float) -> float:
    """Three digits."""
    return float(f"{value:.3g}")


def shardings(shapes: Shapes) -> dict[str, dict[str, float]]:
    """{sharding: bytes that a worker sends in a step, and holds of the others}.

    * rows: as it is. Features, u and κu of everyone are gathered or scattered whole.
    * ring: blocks of features and of u go round, and each is used as it comes; partial sums of κᵀu
      go round likewise. The same bytes; two blocks are held in place of everything.
    * clusters: every worker has κ whole (its edges are gathered, 8 bytes each) and makes K/w
      columns of κu, exchanged for rows by all-to-all. R of these columns takes u whole, so that it
      is gathered all the same, as are the features, to find the edges.
    """
    workers, rows, out = shapes.num_workers, shapes.num_patches, shapes.num_eigenfunctions
    others = (workers - 1) / workers
    features, matrix = 4.0 * rows * shapes.graph_dim, 4.0 * rows * out
    edges = 8.0 * rows * (shapes.num_neighbors + 2 * shapes.pixel_neighbors)
    gradient = 2 * 4.0 * psi_parameters(shapes) * others
    small = 2 * others * 4.0 * (rows + out + out**2)
    return {
        "rows": {
            "sent": others * (features + 2 * matrix) + small + gradient,
            "held": features + 2 * matrix,
        },
        "ring": {
            "sent": others * (features + 2 * matrix) + small + gradient,
            "held": 2 * (features + 2 * matrix) / workers,
        },
        "clusters": {
            "sent": others * (features + edges + matrix + matrix / workers) + small + gradient,
            "held": features + edges + matrix + matrix / workers,
        },
    }
