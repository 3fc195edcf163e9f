"""A training step on 1 to 1,024 workers: simulated from measured pieces, and 1 to 3 real ones.

    python -m tests.benchmarks.bench_scaling [--objective clusterings] [--check]

On an idle machine, in this order, in processes of one thread:

1. Rehearsals: a step of one worker of w, its exchanges answered by itself at once. Each phase
   between two exchanges is fitted with a constant, its images, n·N pairs and N rows. As many run
   at once as there are cores, since workers on one machine share its memory; one of them runs
   alone too, which tells what that costs.
2. The network: gathers, sums and scatters between two processes, by gloo over loopback.
3. The real thing: 1, 2 and 3 workers on one global batch, which the simulation is held to. With
   --check exits 1 where it is more than a tenth away.

What follows is simulated: the same workers, each on a core of its own, over a stated network
(``--gb-per-second``, ``--message-seconds``), on a batch that is the same whatever w (strong) or
grows with it (weak); of each w the seconds of a step, the efficiency (what they would be if all
divided by w, or did not grow), and the part that is furthest beyond that. ``shardings`` are bytes
that a worker sends, and holds of the others, by other ways to split the work. Prints one JSON line.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from raynef.cluster.collectives import Distributed
from raynef.config.recipe import Eigen, Recipe, Train
from raynef.core.collectives import Collectives, SingleProcess
from raynef.features.backbone import NUM_TAPS
from raynef.features.extract import Features
from raynef.models.training import Trainer
from raynef.ops.cost import Exchange, Shapes, exchanges, shapes_of
from raynef.ops.rates import drawn_teachers
from tests.benchmarks.simulated_steps import (
    STRONG,
    TERMS,
    Network,
    Phase,
    Slice,
    curve,
    fitted,
    shardings,
    short,
    simulate,
    slices_of,
    with_workers,
)

DIM, GRID, BATCH = 192, 20, 12
REHEARSED = ((4, 2), (16, 2), (12, 3), (8, 4), (16, 4), (32, 16), (64, 64))
"""(images of the global batch, workers)."""


class Rehearsal:
    """Collectives of rank 0 that answers for all others, and notes what was asked, and when."""

    def __init__(self, counts: list[int]) -> None:
        self.rank, self.world_size, self._counts = 0, len(counts), counts
        self.asked: list[tuple[float, float]] = []  # (when asked, when answered)

    def all_gather_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        asked = time.perf_counter()
        if rows.dtype == torch.int64:
            everyone = torch.tensor(self._counts)
        else:  # others have the same rows with their columns turned
            turned = (rows.roll(rank, dims=-1) for rank in range(self.world_size))
            parts = [part[:n] for part, n in zip(turned, self._counts, strict=True)]
            everyone = torch.cat(parts)
        return self._answer(asked, everyone)

    def all_reduce_sum(self, value: Tensor) -> Tensor:
        return self._answer(time.perf_counter(), value * self.world_size)

    def begin_sum(self, value: Tensor) -> Callable[[], Tensor]:
        return lambda: self.all_reduce_sum(value)

    def reduce_scatter_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        return self._answer(time.perf_counter(), rows[: counts[0]] * self.world_size)

    def _answer(self, asked: float, answer: Tensor) -> Tensor:
        self.asked.append((asked, time.perf_counter()))
        return answer


@dataclass(frozen=True)
class Setting:
    """What is measured; goes to every process."""

    recipe: Recipe
    runs: int

    def shapes(self, workers: int, batch_size: int) -> Shapes:
        """Of a global batch without padding."""
        shapes = shapes_of(
            self.recipe,
            dim=DIM,
            num_images=batch_size,
            num_workers=1,
            valid=1.0,
            side=16 * GRID,
            patch_size=16,
            num_taps=NUM_TAPS,
            images_per_shard=16,
        )
        return with_workers(shapes, workers, batch_size=batch_size)

    def trainer(self, collectives: Collectives) -> Trainer:
        teachers = drawn_teachers(self.recipe, DIM)
        return Trainer(
            self.recipe,
            in_dim=NUM_TAPS * DIM,
            num_steps=1000,
            collectives=collectives,
            teachers=teachers,
        )


def features_of(images: int, first: int = 0) -> Features:
    """Of images ``first`` … of an endless global batch: 64 directions with noise."""
    centers = torch.randn((64, DIM), generator=torch.Generator().manual_seed(0))
    draws = torch.Generator().manual_seed(1 + first)
    patches = centers[torch.randint(0, 64, (images, GRID**2), generator=draws)]
    taps = [patches + torch.randn(patches.shape, generator=draws) for _ in range(NUM_TAPS)]
    thumbnails = torch.rand((images, GRID, GRID, 3), generator=draws)
    return Features(
        torch.stack(taps, dim=1), thumbnails, torch.ones((images, GRID, GRID), dtype=torch.bool)
    )


def rehearse(setting: Setting, batch_size: int, workers: int) -> list[list[float]]:
    """Seconds of each phase of each run; the last ends with the step."""
    shapes = setting.shapes(workers, batch_size)
    slices = slices_of(shapes)
    images = slices[0].images
    collectives = Rehearsal([slice_.own_rows for slice_ in slices])
    trainer, features = setting.trainer(collectives), features_of(images)
    runs = []
    for run in range(setting.runs + 2):
        collectives.asked.clear()
        begun = time.perf_counter()
        trainer.step(features, range(images), epoch=run, reference=features)
        marks = [(begun, begun), *collectives.asked, (time.perf_counter(), 0.0)]
        runs.append([asked - answered for (_, answered), (asked, _) in pairwise(marks)])
    return runs[2:]  # the first load and allocate


def measure_network(setting: Setting, _batch_size: int, _workers: int) -> dict[str, Any]:
    """Seconds of a message, and GB a second by kind of exchange, between two."""
    group = Distributed()
    large, number = torch.ones((3200, 128)), torch.ones(1)
    both = torch.ones((6400, 128))
    tiny = _median(lambda: group.all_reduce_sum(number), 4 * setting.runs)
    ways: dict[str, tuple[Tensor, Callable[[], object]]] = {
        "gather": (both, lambda: group.all_gather_rows(large, [len(large)] * 2)),
        "reduce": (both, lambda: group.all_reduce_sum(both)),
        "scatter": (both, lambda: group.reduce_scatter_rows(both, [3200, 3200])),
    }
    rates = {}
    for kind, (whole, way) in ways.items():
        sent = Exchange("", kind, 4 * whole.numel()).sent(2)
        rates[kind] = sent / _median(way, setting.runs) / 1e9
    return {"message_seconds": tiny / 2, "gb_per_second": rates}


def real_steps(setting: Setting, batch_size: int, workers: int) -> list[float]:
    """Seconds of each step of a worker of a group."""
    collectives = Distributed() if workers > 1 else SingleProcess()
    shapes = setting.shapes(workers, batch_size)
    sizes = [slice_.images for slice_ in slices_of(shapes)]
    first = sum(sizes[: collectives.rank])
    images = range(first, first + sizes[collectives.rank])
    trainer, features = setting.trainer(collectives), features_of(len(images), first)

    def step(run: int) -> None:
        trainer.step(features, images, epoch=run, reference=features)

    return [_seconds(partial(step, run)) for run in range(setting.runs + 2)][2:]


def _median(work: Callable[[], object], runs: int) -> float:
    work()
    return statistics.median(_seconds(work) for _ in range(runs))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def in_processes(
    work: Callable[..., Any], setting: Setting, batch_size: int, workers: int, *, processes: int
) -> list[Any]:
    """What each of so many processes of one thread finds; more than one form a gloo group."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = (work, setting, batch_size, workers, processes, folder)
        mp.start_processes(_in_process, args=arguments, nprocs=processes, start_method="spawn")
        return [torch.load(Path(folder, str(rank))) for rank in range(processes)]


def _in_process(
    rank: int,
    work: Callable[..., Any],
    setting: Setting,
    batch_size: int,
    workers: int,
    processes: int,
    folder: str,
) -> None:
    torch.set_num_threads(1)
    if processes > 1:
        meet = f"file://{folder}/meet"
        dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=processes)
        dist.barrier()
    found = work(setting, batch_size, workers)
    torch.save(found, Path(folder, str(rank)))
    if processes > 1:
        dist.destroy_process_group()


def fit_phases(setting: Setting, cores: int) -> tuple[list[Phase], np.ndarray, float]:
    """The phases of a step beside others, factors by which its runs differ from their mean, and the
    share of their seconds that it takes alone."""
    names = [exchange.what for exchange in exchanges(setting.shapes(2, 2))] + ["end"]
    slices: list[Slice] = []
    seconds: dict[str, list[float]] = defaultdict(list)
    noise: list[np.ndarray] = []
    for batch_size, workers in REHEARSED:
        found = in_processes(rehearse, setting, batch_size, workers, processes=cores)
        runs = np.array([run for runs in found for run in runs])  # [runs, phases]
        medians = np.median(runs, axis=0)
        slices.append(slices_of(setting.shapes(workers, batch_size))[0])
        for name, median in zip(names, medians, strict=True):
            seconds[name].append(float(median))
        whole = runs.sum(axis=1)
        noise.append(whole / whole.mean())
    graph = setting.recipe.eigen.objective == "eigenfunctions"
    terms = TERMS if graph else ("fixed", "images")  # no patch is compared with another
    phases = [fitted(name, slices, seconds[name], terms) for name in names]
    quiet, beside = (
        statistics.median(sum(run) for runs in found for run in runs)
        for found in (
            in_processes(rehearse, setting, BATCH, 2, processes=1),
            in_processes(rehearse, setting, BATCH, 2, processes=cores),
        )
    )
    return phases, np.concatenate(noise), quiet / beside


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--objective", default="eigenfunctions")
    parser.add_argument("--clusters", type=int, default=128)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--gb-per-second", type=float, default=1.25, help="10 Gbit/s")
    parser.add_argument("--message-seconds", type=float, default=5e-5)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    network_of = "convolution" if options.objective == "clusterings" else "attention"
    eigen = Eigen(
        num_eigenfunctions=options.clusters, objective=options.objective, network=network_of
    )
    recipe = Recipe(eigen=eigen, train=Train(batch_size=BATCH, precision="float32"))
    setting, cores = Setting(recipe, options.runs), os.cpu_count() or 1

    phases, noise, alone = fit_phases(setting, cores)
    here = Network(**in_processes(measure_network, setting, 0, 2, processes=2)[0])
    compared = {}
    for workers in (1, 2, 3):
        steps = in_processes(real_steps, setting, BATCH, workers, processes=workers)
        measured = statistics.median(max(runs) for runs in zip(*steps, strict=True))
        shapes = setting.shapes(workers, BATCH)
        factors = noise if workers > 1 else alone * noise
        simulated = simulate(shapes, phases, here, noise=factors, cores=cores).seconds
        compared[workers] = {
            "measured": round(measured, 3),
            "simulated": round(simulated, 3),
            "ratio": round(simulated / measured, 3),
        }
    stated = Network(
        options.message_seconds,
        dict.fromkeys(("gather", "reduce", "scatter"), options.gb_per_second),
    )
    shapes = setting.shapes(1, STRONG)
    result = {
        "objective": options.objective,
        "clusters": options.clusters,
        "compared": compared,
        "network_here": {
            "message_seconds": short(here.message_seconds),
            "gb_per_second": {kind: round(rate, 3) for kind, rate in here.gb_per_second.items()},
        },
        "phases": {phase.before: [short(c) for c in phase.coefficients] for phase in phases},
        "noise": round(float(noise.std()), 3),
        "alone": round(alone, 3),
        "strong": curve(shapes, phases, stated, noise, weak=False),
        "weak": curve(shapes, phases, stated, noise, weak=True),
        "shardings": {w: shardings(with_workers(shapes, w)) for w in (2, 16, 128, 1024)},
        "cores": cores,
        "torch": torch.__version__,
        "machine": platform.platform(),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    wrong = {w: c["ratio"] for w, c in compared.items() if abs(c["ratio"] - 1) > 0.1}
    if options.check and wrong:
        sys.exit(f"simulated over measured is off by more than a tenth: {wrong}")


if __name__ == "__main__":
    main()
