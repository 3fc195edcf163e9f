"""Exact spectral clustering of a whole set beside ncut_pytorch, on the same features of one run.

Both see the last features of all training patches and cluster into K; both place the patches of
the validation images, which are scored by majority at 320×320. See docs/research/spectral.md.

    exact       raynef's: one sparse graph over 2×2 means, Lanczos, Nyström's extension, rotation
    ncut        ncut_pytorch (pip install ncut_pytorch) as it comes: a sample by farthest points,
                a dense graph over that, its extension, its k-way discretisation

Prints one JSON line each: mIoU and accuracy in percent, seconds of making the clusters and of
placing all new patches, and the most memory that its process held beyond the features.

    python tests/benchmarks/research_spectral.py ../shared/data/msrc \
        --backbone vit_tiny_patch16_224 --weights FILE.safetensors --seeds 0 1 2
    … --methods exact --nodes 10000 20000 40000     # time and quality over the nodes of the graph
"""

import argparse
import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import torch
from research_teachers import GRID, Labels, View, arguments, labels_of, opened, scored, see
from torch import Tensor

from raynef.config.recipe import Eigen, Nystrom, Recipe, Train
from raynef.graph.cells import pooled
from raynef.graph.knn import unit_rows
from raynef.jobs.nystrom import clusters_of_graph


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--methods", nargs="+", default=["exact", "ncut"], choices=METHODS)
    parser.add_argument("--nodes", type=int, nargs="+", default=[Nystrom().max_points], help="n")
    parser.add_argument("--pool", type=int, default=Nystrom().pool, help="patches a node, a side")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone, train, val = opened(options)
    seen, new, labels = see(backbone, train, (0, 0)), see(backbone, val, (0, 0)), labels_of(val)
    for seed in options.seeds:
        for method in options.methods:
            for nodes in options.nodes if method == "exact" else [None]:
                graph = Nystrom(max_points=nodes or 1, pool=options.pool)
                found = alone(method, seen, new, labels, options.clusters, seed, graph, options)
                line = {"root": Path(options.root).name, "backbone": options.backbone}
                line |= {"seed": seed, "method": method, "K": options.clusters}
                print(json.dumps({**line, **found}), flush=True)


def alone(*arguments) -> dict[str, float]:
    """One measurement in a process of its own, so that memory is its own too."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(measured, arguments)


def measured(
    method: str,
    seen: View,
    new: View,
    labels: Labels,
    clusters: int,
    seed: int,
    graph: Nystrom,
    options: argparse.Namespace,
) -> dict[str, float]:
    """Scores, seconds and memory of one method."""
    torch.set_num_threads(options.threads)
    set_back_peak()
    before, started = held_mib("VmRSS"), time.perf_counter()
    place, said = METHODS[method](torch.from_numpy(seen.last), clusters, seed, graph)
    made = time.perf_counter()
    logits = place(torch.from_numpy(new.last).flatten(0, 1))
    placed = time.perf_counter()
    more = held_mib("VmHWM") - before
    miou, accuracy = scored(logits.numpy().reshape(len(new.taps), -1, clusters), labels)
    return {
        **said,
        "miou": miou,
        "accuracy": accuracy,
        "make_s": round(made - started, 1),
        "place_s": round(placed - made, 1),
        "peak_mib": round(more),
    }


@torch.inference_mode()
def exact(features: Tensor, clusters: int, seed: int, graph: Nystrom):
    """As ``raynef baseline spectral``, but that patches are at unit length before their mean."""
    unit, valid = unit_rows_of(features), torch.ones(features.shape[:2], dtype=torch.bool)
    nodes = unit_rows(pooled(unit, valid, (GRID, GRID), graph.pool)[0].flatten(0, 1))
    if len(nodes) > graph.max_points:
        draws = np.random.default_rng(seed)
        nodes = nodes[torch.from_numpy(draws.permutation(len(nodes))[: graph.max_points])]
    recipe = Recipe(eigen=Eigen(num_eigenfunctions=clusters), nystrom=graph, train=Train(seed=seed))
    head, _ = clusters_of_graph(nodes, recipe)
    said = {"nodes": len(nodes), "pool": graph.pool}
    return lambda points: head(points[None, None])[0].detach(), said


@torch.inference_mode()
def ncut(features: Tensor, clusters: int, seed: int, graph: Nystrom):
    """ncut_pytorch with its own settings."""
    import ncut_pytorch  # pyright: ignore[reportMissingImports]

    torch.manual_seed(seed)
    model = ncut_pytorch.Ncut(n_eig=clusters, device="cpu")
    vectors = model.fit_transform(features.flatten(0, 1))
    turn = ncut_pytorch.kway_ncut(vectors, ret_R=True, device="cpu")
    return lambda points: model.transform(points) @ turn, {}


METHODS = {"exact": exact, "ncut": ncut}


def unit_rows_of(features: Tensor) -> Tensor:
    """Features [N, P, D] at unit length."""
    return unit_rows(features.flatten(0, 1)).view(features.shape)


def held_mib(of: str) -> float:
    """Memory of this process by the kernel: VmRSS, or VmHWM, the most since it was set back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(of)) / 1024


def set_back_peak() -> None:
    """VmHWM counts from now on (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
