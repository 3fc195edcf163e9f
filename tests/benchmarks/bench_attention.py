"""Attention in bfloat16 by blocks, beside torch's own, in turn.

    python tests/benchmarks/bench_attention.py [--check]

Sizes are (images, heads, tokens) of backbones with heads of 64; 401 tokens are a view of 320 pixels
and patches of 16. Prints one JSON line: milliseconds, medians, and the error of each relative to
float64. With --check, exits 1 where blocks are slower anywhere. On an idle machine with bfloat16.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from raynef.features.attention import block_attention

SIZES = ((16, 3, 401), (16, 6, 401), (16, 12, 197), (16, 12, 401), (4, 6, 1025), (1, 6, 4097))
WAYS: dict[str, Callable[..., Tensor]] = {
    "torch": functional.scaled_dot_product_attention,
    "blocks": block_attention,
}


def measured(images: int, heads: int, tokens: int, runs: int) -> dict[str, Any]:
    """Of one size: milliseconds and errors of each way."""
    drawn = torch.randn(images, tokens, 3, heads, 64, generator=torch.Generator().manual_seed(0))
    parts = drawn.bfloat16().permute(2, 0, 3, 1, 4).unbind()  # as a layer qkv gives them
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for run in range(runs + 2):
        for name, way in WAYS.items():
            start = time.perf_counter()
            way(*parts)
            if run > 1:  # the first load and allocate
                times[name].append(1000 * (time.perf_counter() - start))
    query, key, value = (part[:1].double() for part in parts)
    exact = functional.scaled_dot_product_attention(query, key, value)
    errors = {
        name: float((way(*parts)[:1] - exact).norm() / exact.norm()) for name, way in WAYS.items()
    }
    found = {name: statistics.median(values) for name, values in times.items()}
    return {
        "size": [images, heads, tokens],
        "ms": {name: round(value, 2) for name, value in found.items()},
        "times_faster": round(found["torch"] / found["blocks"], 2),
        "error": {name: float(f"{value:.1e}") for name, value in errors.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with torch.inference_mode():
        sizes = [measured(*size, options.runs) for size in SIZES]
    about = {"cores": os.cpu_count(), "torch": torch.__version__, "machine": platform.platform()}
    print(json.dumps({"sizes": sizes, **about}))
    if options.check and any(size["times_faster"] < 1 for size in sizes):
        sys.exit("torch's own is faster somewhere")


if __name__ == "__main__":
    main()
