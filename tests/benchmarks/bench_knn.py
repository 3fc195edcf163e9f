"""Which way to find nearest patches is the fastest here: what to set ``graph.search`` to.

    python tests/benchmarks/bench_knn.py                       # the CPU
    python tests/benchmarks/bench_knn.py --device cuda         # all ways, fused among them

Each way in turn, ``--turns`` times, on one batch: N patches of D features, k neighbors each. Beside
them the product of all similarities alone in float32 and in bfloat16, which no exact way on its
own can beat, and ``half``: the product in bfloat16 chooses k and a quarter more, float32 scores
these again. Prints one JSON line: medians in ms, and the share of edges that ``half`` finds.
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

import torch
from torch import Tensor

from raynef.config.sections import Search
from raynef.graph.knn import largest, nearest_neighbors, unit_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--patches", type=int, default=7200, help="N")
    parser.add_argument("--dim", type=int, default=384, help="D")
    parser.add_argument("--neighbors", type=int, default=256, help="k")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    keys = features(options.patches, options.dim).to(options.device)
    k = options.neighbors
    searches: list[Search] = ["blocks", "topk", "faiss"]
    if options.device == "cuda":
        searches.append("fused")
    ways: dict[str, Callable[[], object]] = {
        "product": lambda: keys @ keys.T,
        "product_bfloat16": lambda: keys.bfloat16() @ keys.bfloat16().T,
        "half": partial(half, keys, k),
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
    exact = nearest_neighbors(keys, keys, num_neighbors=k, first_row=0)[0].sort(dim=1).values
    found = half(keys, k)[0].sort(dim=1).values
    line = {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "N": options.patches,
        "D": options.dim,
        "k": k,
        "ms": {name: round(1e3 * statistics.median(taken), 1) for name, taken in times.items()},
        "half_edges": round(shared(found, exact), 6),
    }
    print(json.dumps(line))


def features(num_patches: int, dim: int) -> Tensor:
    """Unit rows [N, D] about a few directions, as patches are."""
    draws = torch.Generator().manual_seed(0)
    centers = torch.randn((64, dim), generator=draws)
    which = torch.randint(0, 64, (num_patches,), generator=draws)
    return unit_rows(centers[which] + torch.randn((num_patches, dim), generator=draws))


def half(keys: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Candidates by a product in bfloat16, scored again in float32. [N, k] columns and values."""
    small, block = keys.bfloat16(), max(1, (1 << 23) // len(keys))
    columns, values = [], []
    for start in range(0, len(keys), block):
        rough = small[start : start + block] @ small.T
        own = torch.arange(len(rough), device=keys.device)
        rough[own, own + start] = -torch.inf
        _, at = largest(rough[:, : len(keys) // 8 * 8], min(len(keys) - 1, k + k // 4))
        exact = torch.einsum("bd,bkd->bk", keys[start : start + block], keys[at])
        top = torch.topk(exact, k, dim=1, sorted=False)
        values.append(top.values)
        columns.append(at.gather(1, top.indices))
    return torch.cat(columns), torch.cat(values)


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
