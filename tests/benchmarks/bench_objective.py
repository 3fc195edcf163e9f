"""Speed and memory of one step's graph, loss and gradient, beside the dense formulation.

    python tests/benchmarks/bench_objective.py            # speed at N = 7,200; memory at 14,400
    python tests/benchmarks/bench_objective.py --check    # … and exit 1 where a bound is missed

Prints one JSON line. Times are medians of ``--runs``; memory is the peak that a fresh process
adds over what it holds before. On an idle machine.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from raynef.eigen import eigenfunction_loss
from raynef.features.precision import has_bfloat16
from raynef.graph import build_kernel
from raynef.graph.knn import search_on

GRID, DIM, CLUSTERS, NEIGHBORS = 20, 384, 256, 256
BETA_EFF = 8e-4


def inputs(num_patches: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features of a few directions with noise, thumbnails, and soft assignments."""
    generator = torch.Generator().manual_seed(0)
    images = num_patches // GRID**2
    centers = torch.randn((64, DIM), generator=generator)
    which = torch.randint(0, 64, (num_patches,), generator=generator)
    features = centers[which] + torch.randn((num_patches, DIM), generator=generator)
    thumbnails = torch.rand((images, GRID, GRID, 3), generator=generator)
    logits = torch.randn((num_patches, CLUSTERS), generator=generator)
    return features, thumbnails, torch.softmax(2 * logits, dim=1)


def sparse_step(features: Tensor, thumbnails: Tensor, psi: Tensor) -> Tensor:
    """Ours: the gradient of L with respect to ψ."""
    psi = psi.clone().requires_grad_()
    search = search_on("auto", psi.device, half=has_bfloat16(psi.device))
    kernel = build_kernel(features, thumbnails, num_neighbors=NEIGHBORS, alpha=0.3, search=search)
    eigenfunction_loss(psi, kernel, beta_eff=BETA_EFF).backward()
    assert psi.grad is not None
    return psi.grad


def dense_step(features: Tensor, thumbnails: Tensor, psi: Tensor) -> Tensor:
    """The slow twin: the gradient of ``dense_loss``."""
    psi = psi.clone().requires_grad_()
    dense_loss(features, thumbnails, psi, beta_eff=BETA_EFF).backward()
    assert psi.grad is not None
    return psi.grad


def dense_loss(features: Tensor, thumbnails: Tensor, psi: Tensor, *, beta_eff: float) -> Tensor:
    """L by a dense N×N kernel, as written, for autograd."""
    unit = torch.nn.functional.normalize(features, dim=1)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-torch.inf)
    top = similarity.topk(NEIGHBORS, dim=1)
    directed = torch.zeros_like(similarity).scatter_(1, top.indices, top.values.clamp(min=0))
    kernel = normalized((directed + directed.T) / 2)
    kernel += 0.3 * normalized(dense_pixels(thumbnails))
    u = psi / psi.norm(dim=0).clamp_min(1)
    r = u.T @ kernel @ u
    r_hat = u.detach().T @ kernel @ u
    return -r.trace() + beta_eff * r_hat.triu(1).square().sum()


def dense_pixels(thumbnails: Tensor) -> Tensor:
    images, height, width, _ = thumbnails.shape
    size = height * width
    device = thumbnails.device
    adjacency = torch.zeros((images * size, images * size), device=device)
    rows, columns = (torch.arange(n, device=device) / (n - 1) for n in (height, width))
    rows, columns = torch.meshgrid(rows, columns, indexing="ij")
    place = torch.stack((columns, rows), dim=-1).reshape(size, 2)
    for image, colors in enumerate(thumbnails.reshape(images, size, 3)):
        block = adjacency[image * size : (image + 1) * size, image * size : (image + 1) * size]
        for k, weight in ((10, 2.0), (5, 0.1)):
            points = torch.cat((colors, weight * place), dim=1)
            distance = torch.cdist(points, points)
            distance.fill_diagonal_(torch.inf)
            block.scatter_(1, distance.topk(k, largest=False).indices, 1.0)
        block.copy_(torch.maximum(block, block.T.clone()))
    return adjacency


def normalized(adjacency: Tensor) -> Tensor:
    degrees = adjacency.sum(dim=1)
    root = torch.where(degrees > 0, degrees.clamp_min(1e-30).rsqrt(), 0)
    return adjacency * root[:, None] * root[None, :]


def median_seconds(function: Callable[[], object], runs: int) -> float:
    function()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def added_megabytes(step: str, num_patches: int) -> float:
    """Peak that a step adds, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", step, "--patches", str(num_patches)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure_memory(step: str, num_patches: int) -> float:
    features, thumbnails, psi = inputs(num_patches)
    (dense_step if step == "dense" else sparse_step)(
        *(part[: GRID**2] if part.ndim == 2 else part[:1] for part in (features, thumbnails, psi))
    )  # libraries load and threads start outside of the measurement
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from what is held now
    before = resident_megabytes("VmRSS")
    (dense_step if step == "dense" else sparse_step)(features, thumbnails, psi)
    return resident_megabytes("VmHWM") - before


def resident_megabytes(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process, from Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--patches", type=int, default=7200)
    parser.add_argument("--memory-patches", type=int, default=14400)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--memory-of", choices=("sparse", "dense"))
    options = parser.parse_args()
    if options.memory_of:
        print(measure_memory(options.memory_of, options.patches))
        return
    features, thumbnails, psi = inputs(options.patches)
    ours, dense = sparse_step(features, thumbnails, psi), dense_step(features, thumbnails, psi)
    difference = ((ours - dense).abs().max() / dense.abs().max()).item()
    product = median_seconds(lambda: features @ features.T, options.runs)
    sparse = median_seconds(lambda: sparse_step(features, thumbnails, psi), options.runs)
    slow = median_seconds(lambda: dense_step(features, thumbnails, psi), options.runs)
    result = {
        "patches": options.patches,
        "product_s": round(product, 3),
        "ours_s": round(sparse, 3),
        "dense_s": round(slow, 3),
        "times_faster_than_dense": round(slow / sparse, 2),
        "times_the_product": round(sparse / product, 2),
        "gradient_difference": difference,
        "memory_patches": options.memory_patches,
        "added_mb": round(added_megabytes("sparse", options.memory_patches)),
        "dense_added_mb": round(added_megabytes("dense", options.memory_patches)),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.platform(),
    }
    print(json.dumps(result))
    if options.check:
        met = {
            "at least 3.5 times faster than dense": slow / sparse >= 3.5,
            "within 2.5 times of the product": sparse / product <= 2.5,
            "under 700 MB added": result["added_mb"] < 700,
            "the dense gradient": difference < 1e-3,
        }
        if not all(met.values()):
            sys.exit(f"missed: {[name for name, holds in met.items() if not holds]}")


if __name__ == "__main__":
    main()
