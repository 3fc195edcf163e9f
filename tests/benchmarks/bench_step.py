"""Seconds of a whole training step: as it is, in float32, and as published.

    python -m tests.benchmarks.bench_step            # B = 16, 20×20 patches, D = 384, K = 256
    python -m tests.benchmarks.bench_step --check    # … and exit 1 where a bound is missed
    python -m tests.benchmarks.bench_step --device cuda --compile

Four ways, or five, each step in turn, medians of ``--runs``:

ours         ``Trainer.step`` as it is: ``train.precision auto``
default      what ``--recipe folder`` trains in the place of the paper's ψ, on as many images
compiled     the same with ``train.compile``, where --compile asks for it
float32      the same in float32, the head's reflections multiplied one after another by torch
published    ψ and head of ``float32``; a dense N×N kernel, and autograd through the objective

Prints one JSON line. On an idle machine.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn.utils.parametrizations import orthogonal

from raynef.config.presets import load_preset
from raynef.config.recipe import Eigen, Recipe, Train
from raynef.core.devices import wait_for
from raynef.eigen.gumbel import gumbel_noise, gumbel_softmax
from raynef.eigen.objective import effective_beta
from raynef.features.backbone import NUM_TAPS
from raynef.features.extract import Features
from raynef.features.precision import uses_bfloat16
from raynef.models.training import Trainer
from raynef.ops.rates import drawn_teachers
from tests.benchmarks.bench_objective import GRID, dense_loss

IMAGES = 16
BOUNDS = {
    ("default", "float32"): 2.7,
    ("default", "published"): 6.0,
    ("ours", "float32"): 1.8,
    ("ours", "published"): 2.2,
}


def batch(dim: int, device: torch.device) -> Features:
    """Features of a few directions with noise, and thumbnails."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn((64, dim), generator=generator)
    patches = centers[torch.randint(0, 64, (IMAGES, GRID**2), generator=generator)]
    taps = [patches + torch.randn(patches.shape, generator=generator) for _ in range(NUM_TAPS)]
    thumbnails = torch.rand((IMAGES, GRID, GRID, 3), generator=generator)
    valid = torch.ones((IMAGES, GRID, GRID), dtype=torch.bool)
    return Features(torch.stack(taps, dim=1).to(device), thumbnails.to(device), valid.to(device))


def trainer(
    recipe: Recipe, dim: int, *, reflections: bool = False, device: torch.device
) -> Trainer:
    """A trainer; with torch's orthogonal head in the place of ours for ``reflections``."""
    teachers = drawn_teachers(recipe, dim)
    made = Trainer(recipe, in_dim=NUM_TAPS * dim, num_steps=1000, device=device, teachers=teachers)
    if reflections:
        orthogonal(made.psi.plain().head, "weight", orthogonal_map="householder")
        made.optimizer = torch.optim.Adam(made.psi.parameters(), lr=recipe.train.lr)
    return made


def published_step(made: Trainer, features: Features, epoch: int) -> None:
    """One step on the dense kernel."""
    eigen, seed = made.recipe.eigen, made.recipe.train.seed
    logits = made.psi(features.taps)
    size = tuple(logits.shape[1:])
    noise = gumbel_noise(*size, seed=seed, epoch=epoch, images=range(IMAGES)).to(made.device)
    psi = gumbel_softmax(logits, noise, eigen.tau_start).flatten(0, 1)
    loss = dense_loss(
        features.taps[:, -1].flatten(0, 1),
        features.thumbnails,
        psi,
        beta_eff=effective_beta(eigen.beta, eigen.num_eigenfunctions),
    )
    made.optimizer.zero_grad()
    loss.backward()
    made.optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--clusters", type=int, default=256)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    recipe = Recipe(
        eigen=Eigen(num_eigenfunctions=options.clusters), train=Train(batch_size=IMAGES)
    )
    folder = load_preset("folder")
    default = replace(
        folder,
        eigen=replace(folder.eigen, num_eigenfunctions=options.clusters),
        train=replace(folder.train, batch_size=IMAGES),
    )
    exact = replace(recipe, train=replace(recipe.train, precision="float32"))
    device = torch.device(options.device)
    features = batch(options.dim, device)
    ours = trainer(recipe, options.dim, device=device)
    learned = trainer(default, options.dim, device=device)
    slower = trainer(exact, options.dim, reflections=True, device=device)
    published = trainer(exact, options.dim, reflections=True, device=device)
    ways: dict[str, Callable[[int], object]] = {
        "ours": lambda epoch: ours.step(features, range(IMAGES), epoch=epoch),
        "default": lambda epoch: learned.step(features, range(IMAGES), epoch=epoch),
        "float32": lambda epoch: slower.step(features, range(IMAGES), epoch=epoch),
        "published": lambda epoch: published_step(published, features, epoch),
    }
    if options.compile:
        compiles = replace(recipe, train=replace(recipe.train, compile=True))
        compiled = trainer(compiles, options.dim, device=device)
        ways["compiled"] = lambda epoch: compiled.step(features, range(IMAGES), epoch=epoch)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(options.runs + 1):
        for name, step in ways.items():
            start = time.perf_counter()
            step(run)
            wait_for(device)
            if run:  # the first loads and allocates
                times[name].append(time.perf_counter() - start)
    seconds = {name: statistics.median(found) for name, found in times.items()}
    result = {
        "images": IMAGES,
        "patches": IMAGES * GRID**2,
        "dim": options.dim,
        "clusters": options.clusters,
        "precision": "bfloat16" if uses_bfloat16("auto", device) else "float32",
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "times_faster_than_float32": round(seconds["float32"] / seconds["ours"], 2),
        "times_faster_than_published": round(seconds["published"] / seconds["ours"], 2),
        "default_times_faster_than_float32": round(seconds["float32"] / seconds["default"], 2),
        "default_times_faster_than_published": round(seconds["published"] / seconds["default"], 2),
        "device": str(device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.platform(),
    }
    print(json.dumps(result))
    missed = [
        f"{name} is not {bound} times faster than {slow}"
        for (name, slow), bound in BOUNDS.items()
        if seconds[slow] < bound * seconds[name]
    ]
    if options.check and missed:
        sys.exit("; ".join(missed))


if __name__ == "__main__":
    main()
