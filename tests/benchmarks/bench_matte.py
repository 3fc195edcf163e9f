"""Time and memory of an image's soft layers, stage by stage.

    python tests/benchmarks/bench_matte.py --image FILE --backbone NAME --weights FILE
        [--size 240x320] [--out DIR] [--check]

Prints one JSON line. With ``--check``, exits 1 where the layers do not sum to one, or 240×320
pixels take a minute. ``--out`` writes the layers as PNG. On an idle machine.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from raynef.config.recipe import Backbone
from raynef.eigen.spectrum import smallest_eigenpairs
from raynef.features.backbone import load_backbone
from raynef.graph.sampled import sampled_affinity
from raynef.images.decode import read_image
from raynef.images.geometry import resize
from raynef.segment.matte import rgba_layer, soft_layers

MOST_SECONDS = 60.0  # at 240×320
T = TypeVar("T")

seconds: dict[str, float] = {}


def timed(stage: str, work: Callable[[], T]) -> T:
    start = time.perf_counter()
    result = work()
    seconds[stage] = round(time.perf_counter() - start, 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--image", required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--size", default="240x320")
    parser.add_argument("--color-weight", type=float, default=10.0)
    parser.add_argument("--vectors", type=int, default=15)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    height, width = (int(side) for side in options.size.split("x"))
    recipe = Backbone(options.backbone, weights=options.weights, tap="keys")
    backbone = load_backbone(recipe)
    patch = backbone.patch_size
    grid = (height // patch, width // patch)
    photograph = resize(read_image(options.image), (height, width))
    photograph = photograph[: grid[0] * patch, : grid[1] * patch]
    threads = os.cpu_count() or 1
    torch.set_num_threads(threads)

    def keys() -> torch.Tensor:
        pixels = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None] / 255
        mean, std = (torch.tensor(v)[:, None, None] for v in (backbone.mean, backbone.std))
        return backbone((pixels - mean) / std)[0, -1].view(*grid, -1)

    features = timed("keys", keys)
    affinity = timed(
        "affinity",
        lambda: sampled_affinity(
            features, photograph / 255, color_weight=options.color_weight, workers=threads
        ),
    )
    pairs = timed("eigenpairs", lambda: smallest_eigenpairs(affinity, options.vectors))
    layers = timed("layers", lambda: soft_layers(pairs.vectors[0], num_layers=options.layers))
    total = sum(seconds.values())
    error = float((layers.double().sum(dim=0) - 1).abs().max())
    result = {
        "size": list(photograph.shape[:2]),
        "backbone": options.backbone,
        "seconds": seconds,
        "total_s": round(total, 2),
        "nnz": len(affinity.sparse.values()),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "residual": float(pairs.residuals.max()),
        "values": [round(value, 4) for value in pairs.values[0].tolist()],
        "layer_shares": [round(share, 4) for share in layers.mean(dim=1).tolist()],
        "sum_error": error,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }
    print(json.dumps(result))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        for index, layer in enumerate(layers.view(-1, *photograph.shape[:2]).numpy()):
            rgba = rgba_layer(photograph, layer)
            Image.fromarray(rgba).save(options.out / f"layer{index}.png")
            alpha = np.ascontiguousarray(rgba[..., 3])
            Image.fromarray(alpha).save(options.out / f"alpha{index}.png")
    small = height * width <= 240 * 320
    if options.check and (error > 1e-6 or (small and total > MOST_SECONDS)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
