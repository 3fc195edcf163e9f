"""Our K-means beside scikit-learn's, on the same features: do the segments score alike?

The protocol of bench_backbone_kmeans.py (features of un-augmented train crops, mIoU on val), for
several seeds of each. Prints one JSON line: mIoU in percent by seed, means, and their difference in
standard errors. With --check, exits 1 where that is above two.

    python tests/benchmarks/bench_kmeans.py ../shared/data/msrc \
        --backbone vit_tiny_patch16_224 --weights FILE.safetensors --check
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from bench_backbone_kmeans import VOID, Image, assign, crop, features_of, read_split
from sklearn.cluster import KMeans

from raynef.assign.kmeans import find_centroids, members, moved
from raynef.assign.matching import match, score

ITERATIONS = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", type=Path, help="images/, labels/, train.txt, val.txt, classes.txt")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--weights")
    parser.add_argument("--clusters", type=int, default=128, help="K")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    train, val = (read_split(options.root, split) for split in ("train", "val"))
    points, val_features = (features_of(names, options.root, options) for names in (train, val))
    points = points.reshape(-1, points.shape[-1])
    nearest = Image.Resampling.NEAREST
    labels = [np.asarray(crop(options.root / "labels" / f"{name}.png", nearest)) for name in val]
    found: dict[str, list[float]] = {"raynef": [], "sklearn": []}
    seconds: dict[str, float] = {}
    for name, fit in (("raynef", fit_ours), ("sklearn", fit_theirs)):
        started = time.perf_counter()
        fits = [fit(points, options.clusters, seed) for seed in range(options.seeds)]
        seconds[name] = (time.perf_counter() - started) / options.seeds
        for centroids in fits:
            found[name].append(100 * miou(torch.from_numpy(centroids), val_features, labels))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    error = float(np.sqrt(sum(np.var(v, ddof=1) / len(v) for v in found.values())))
    distance = abs(means["raynef"] - means["sklearn"]) / error
    result = {
        "data": options.root.name,
        "backbone": options.backbone,
        "clusters": options.clusters,
        "points": len(points),
        "miou": {name: [round(value, 2) for value in values] for name, values in found.items()},
        "mean": {name: round(mean, 2) for name, mean in means.items()},
        "standard_error": round(error, 2),
        "difference_in_standard_errors": round(distance, 2),
        "seconds_a_fit": {name: round(value, 2) for name, value in seconds.items()},
    }
    print(json.dumps(result))
    if options.check and distance > 2:
        sys.exit("the two differ by more than two standard errors")


def fit_ours(points: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    centroids = find_centroids(points, num_clusters, iterations=ITERATIONS, seed=seed)
    return moved(centroids, members(points, centroids))


def fit_theirs(points: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """Lloyd's algorithm from random points, once, as ours."""
    lloyd = cast(Callable[..., KMeans], KMeans)  # it says no types: its defaults are narrower
    fitted = lloyd(num_clusters, init="random", n_init=1, max_iter=ITERATIONS, random_state=seed)
    return fitted.fit(points).cluster_centers_.astype(np.float32)


def miou(centroids: torch.Tensor, val_features: np.ndarray, labels: list[np.ndarray]) -> float:
    table = np.zeros((len(centroids), VOID), dtype=np.int64)
    for features, label in zip(val_features, labels, strict=True):
        clusters = assign(torch.from_numpy(features), centroids)
        known = label != VOID
        codes = clusters[known] * VOID + label[known]
        table += np.bincount(codes, minlength=table.size).reshape(table.shape)
    return score(table, match(table, "iou")).miou


if __name__ == "__main__":
    main()
