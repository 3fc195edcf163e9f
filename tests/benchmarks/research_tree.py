"""Clusters merged by their tree, scored by majority at n groups, beside K-means with n clusters.

    python tests/benchmarks/research_tree.py RUN [RUN …] --groups 21 32 64 --touch 0 0.25

RUN is a finished run of raynef train with labels beside its data; prints one JSON line for each.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from raynef.assign.matching import match, score
from raynef.assign.tree import agglomerate
from raynef.cluster.place import this_process
from raynef.images.datasets.registry import open_split
from raynef.jobs import tree as trees
from raynef.jobs.baseline import Baseline, make
from raynef.jobs.counting import count
from raynef.jobs.extract import ensure_store
from raynef.jobs.kmeans import kmeans_head
from raynef.stores.run import RunFolder


def table_of(run: Path, num_clusters: int) -> np.ndarray:
    """Pixels of cluster against class of the validation images, [K, C]."""
    recipe = RunFolder(run).recipe()
    images = open_split(recipe.data, recipe.data.val_split)
    counts = count(run, recipe, images, num_clusters=num_clusters, temperature=1.0, job="count")
    return counts.tables[0]


def miou(table: np.ndarray, groups: np.ndarray) -> float:
    """In %, of clusters in groups, each named by majority of IoU."""
    merged = np.zeros((groups.max() + 1, table.shape[1]), dtype=np.int64)
    np.add.at(merged, groups, table)
    return round(100 * score(merged, match(merged, "iou")).miou, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--groups", nargs="+", type=int, default=[21, 32, 64])
    parser.add_argument("--touch", nargs="+", type=float, default=[0.0, 0.25])
    parser.add_argument("--no-kmeans", action="store_true")
    args = parser.parse_args()
    for run in args.runs:
        folder = RunFolder(run)
        recipe = folder.recipe()
        num_clusters = recipe.eigen.num_eigenfunctions
        with this_process():
            images = open_split(recipe.data, recipe.data.train_split)
            store = ensure_store(recipe, images, recipe.train.store or folder.store)
            seen = trees.neighborhoods_of(folder.segmenter, store, precision="float32")
            table = table_of(run, num_clusters)
            result = {"run": str(run), "all": miou(table, np.arange(num_clusters))}
            for touch in args.touch:
                tree = agglomerate(seen.means, seen.sizes, seen.touches, touch=touch)
                result[f"tree {touch}"] = [miou(table, tree.cut(n)) for n in args.groups]
            if not args.no_kmeans:
                result["kmeans"] = [few(run, n) for n in args.groups]
        print(json.dumps(result), flush=True)


def few(run: Path, num_clusters: int) -> float:
    """Of K-means with few clusters on the features of the run's ψ."""
    recipe = RunFolder(run).recipe()
    recipe = replace(recipe, eigen=replace(recipe.eigen, num_eigenfunctions=num_clusters))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "few"
        make(Baseline("kmeans-psi", recipe, kmeans_head, trained=run), out)
        return miou(table_of(out, num_clusters), np.arange(num_clusters))


if __name__ == "__main__":
    main()
