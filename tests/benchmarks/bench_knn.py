"""Which way to find nearest patches is the fastest here: what to set ``graph.search`` to.

    python tests/benchmarks/bench_knn.py                       # the CPU
    python tests/benchmarks/bench_knn.py --device cuda         # all ways, fused among them
    python tests/benchmarks/bench_knn.py --images DIR --backbone NAME --weights FILE

Each way in turn, ``--turns`` times, on one batch: N patches of D features, k neighbors each, drawn
about a few directions, or a backbone's of 16 images of DIR at 320×320. Beside them the product of
all similarities alone in float32 and in bfloat16. Prints one JSON line: medians in ms, and the
share of the edges of ``blocks`` that ``bfloat16`` finds.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from raynef.config.recipe import Backbone
from raynef.config.sections import Search
from raynef.features.backbone import load_backbone
from raynef.features.extract import extract_features
from raynef.graph.knn import nearest_neighbors, unit_rows
from raynef.images.decode import read_image
from raynef.images.geometry import resize_bicubic


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--patches", type=int, default=7200, help="N")
    parser.add_argument("--dim", type=int, default=384, help="D")
    parser.add_argument("--neighbors", type=int, default=256, help="k")
    parser.add_argument("--images", type=Path, help="a folder, in the place of N and D")
    parser.add_argument("--backbone", help="of --images")
    parser.add_argument("--weights")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    if options.images:
        config = Backbone(options.backbone, weights=options.weights)
        keys = of_images(options.images, config).to(options.device)
    else:
        keys = features(options.patches, options.dim).to(options.device)
    k = options.neighbors
    searches: list[Search] = ["blocks", "topk", "faiss", "bfloat16"]
    if options.device == "cuda":
        searches.append("fused")
    ways: dict[str, Callable[[], object]] = {
        "product": lambda: keys @ keys.T,
        "product_bfloat16": lambda: keys.bfloat16() @ keys.bfloat16().T,
    }
    for search in searches:
        ways[search] = partial(
            nearest_neighbors, keys, keys, num_neighbors=k, first_row=0, search=search
        )
    times = defaultdict(list)
    for way in ways.values():  # whatever is compiled or allocated the first time
        way()
    for _ in range(options.turns):
        for name, way in ways.items():
            times[name].append(timed(way, options.device))
    exact, found = (
        nearest_neighbors(keys, keys, num_neighbors=k, first_row=0, search=search)[0].sort(dim=1)
        for search in ("blocks", "bfloat16")
    )
    line = {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "N": keys.shape[0],
        "D": keys.shape[1],
        "k": k,
        "ms": {name: round(1e3 * statistics.median(taken), 1) for name, taken in times.items()},
        "bfloat16_edges": round(shared(found.values, exact.values), 6),
    }
    print(json.dumps(line))


def features(num_patches: int, dim: int) -> Tensor:
    """Unit rows [N, D] about a few directions, as patches are."""
    draws = torch.Generator().manual_seed(0)
    centers = torch.randn((64, dim), generator=draws)
    which = torch.randint(0, 64, (num_patches,), generator=draws)
    return unit_rows(centers[which] + torch.randn((num_patches, dim), generator=draws))


def of_images(folder: Path, config: Backbone) -> Tensor:
    """Unit rows [N, D] of the last features of 16 images, spread over a folder's names."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".bmp", ".png"))
    chosen = paths[:: max(1, len(paths) // 16)][:16]
    pixels = np.stack([resize_bicubic(read_image(path), (320, 320)) for path in chosen])
    taps = extract_features(load_backbone(config), pixels).taps
    return unit_rows(taps[:, -1].flatten(0, 1).float())


def shared(found: Tensor, exact: Tensor) -> float:
    """The share of the exact edges, sorted columns [N, k], that are among those found."""
    at = torch.searchsorted(found, exact).clamp(max=found.shape[1] - 1)
    return float((found.gather(1, at) == exact).float().mean())


def timed(way: Callable[[], object], device: str) -> float:
    """Seconds until the device is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    way()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
