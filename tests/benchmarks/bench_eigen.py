"""Exact eigenpairs of one image beside the published call, eigsh(D - W, M=D, sigma=0), dense.

    python tests/benchmarks/bench_eigen.py --image FILE --backbone NAME --weights FILE
        [--products float32] [--device cuda] [--check]

Both get the same features and photograph, at 45x60 and at 90x120 nodes, λ = 10, 20 pairs; each is
timed from the features to the vectors, color graph and affinity among it, and for the solver
alone. Ours comes first, in a process of its own for its memory: the host assembles the affinity,
and --device has the products, in a precision of one's choice. With --check, exits 1 unless it is
1.7 times as fast at 45x60 and 5 times at 90x120, with a peak of at most one dense float32 W.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch
from scipy.sparse.linalg import eigsh

from raynef.config.recipe import Backbone, Spectral
from raynef.core.devices import wait_for
from raynef.eigen.spectrum import smallest_eigenpairs
from raynef.features.blocks import load_block_features
from raynef.graph.affinity import assembled
from raynef.images.decode import read_image
from raynef.images.fitted import fit
from raynef.images.geometry import resize

GRIDS = {(45, 60): 1.7, (90, 120): 5.0}
PAIRS, WEIGHT = 20, 10.0


def prepare(options: argparse.Namespace) -> tuple[torch.Tensor, np.ndarray]:
    """Keys [h, w, D] of a photograph, and the photograph."""
    config = Backbone(name=options.backbone, weights=options.weights)
    backbone = load_block_features(config, Spectral())
    pixels, _ = fit(read_image(options.image), stride=backbone.stride, max_side=1024)
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (backbone.mean, backbone.std))
    return backbone((images - mean) / std)[0], pixels


def ours(options: argparse.Namespace, grid: tuple[int, int]) -> dict[str, object]:
    """Seconds, values, and memory above that before."""
    features, pixels = prepare(options)
    small = resize(pixels, grid) / 255
    warm = resize(pixels, (20, 20)) / 255
    device, products = torch.device(options.device), getattr(torch, options.products)
    graph = assembled(features, warm, color_weight=WEIGHT)
    smallest_eigenpairs(graph.on(device), PAIRS, products=products)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    graph = assembled(features, small, color_weight=WEIGHT)
    made = time.perf_counter()
    found = smallest_eigenpairs(graph.on(device), PAIRS, products=products)
    wait_for(device)
    done = time.perf_counter()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": done - started,
        "solve": done - made,
        "added_mb": (after - before) / 1024,
        "residual": float(found.residuals.max()),
        "values": found.values[0].tolist(),
    }


def published(options: argparse.Namespace, grid: tuple[int, int]) -> dict[str, object]:
    """The same for the published call on the dense matrix, in float64: float32 is singular."""
    features, pixels = prepare(options)
    small = resize(pixels, grid) / 255
    started = time.perf_counter()
    weights = assembled(features, small, color_weight=WEIGHT, form="dense").on()
    matrix = weights.to_dense()[0].numpy().astype(np.float64)
    degrees = np.diag(matrix.sum(axis=1))
    laplacian = degrees - matrix
    made = time.perf_counter()
    values, _ = eigsh(laplacian, k=PAIRS, sigma=0, which="LM", M=degrees)
    done = time.perf_counter()
    return {
        "seconds": done - started,
        "solve": done - made,
        "values": sorted(values.tolist()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--image", required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--products", choices=("float32", "float64"), default="float64")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.part:
        which, height, width = options.part
        job = ours if which == "ours" else published
        sys.stdout.write(json.dumps(job(options, (int(height), int(width)))) + "\n")
        return
    short = []
    for (height, width), bound in GRIDS.items():
        parts = {}
        for which in ("ours", "published"):
            line = [sys.executable, *sys.argv, "--part", which, str(height), str(width)]
            text = subprocess.run(line, check=True, capture_output=True, text=True).stdout
            parts[which] = json.loads(text)
        mine, theirs = parts["ours"], parts["published"]
        error = np.abs(np.subtract(mine.pop("values"), theirs.pop("values"))).max()
        nodes = height * width
        report = {
            "grid": f"{height}x{width}",
            "ours_s": round(mine["seconds"], 3),
            "published_s": round(theirs["seconds"], 3),
            "times": round(theirs["seconds"] / mine["seconds"], 1),
            "solver_times": round(theirs["solve"] / mine["solve"], 1),
            "ours_solve_s": round(mine["solve"], 3),
            "residual": mine["residual"],
            "added_mb": round(mine["added_mb"]),
            "dense_float32_mb": round(nodes**2 * 4 / 2**20),
            "value_error": float(error),
        }
        sys.stdout.write(json.dumps(report) + "\n")
        if theirs["seconds"] < bound * mine["seconds"]:
            short.append(f"{report['grid']}: {report['times']} times, not >= {bound}")
        if (height, width) == (90, 120) and mine["added_mb"] > report["dense_float32_mb"]:
            short.append(f"{report['grid']}: {report['added_mb']} MB added")
        if error > 1e-5:
            short.append(f"{report['grid']}: eigenvalues differ by {error}")
    if options.check and short:
        sys.exit("; ".join(short))


if __name__ == "__main__":
    main()
