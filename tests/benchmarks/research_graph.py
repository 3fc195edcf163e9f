"""Which edges make the best graph for one exact spectral clustering of a set, without a label.

The nodes are means of 2×2 patches of all training images, as in ``raynef baseline spectral``;
solver, rotation and extension are its own too. A variant changes the edges alone:

    whole       each node and its 32 nearest of the set: the baseline
    mutual      of these, the edges that both ends name
    scaled      exp(-d² / (σ_i σ_j)) in place of the cosine, σ_i the distance to the 7th nearest
                (Zelnik-Manor and Perona, NIPS 2004)
    taps        nodes are the backbone's three taps side by side, each at unit length
    batches     each node and its 32 nearest of its batch of 16 images, over four epochs of batches
                drawn at random, all together: what a training sees that has no more than batches
    sparse      the same with 8 nearest: at most as many edges as ``whole``
    composed    as ``batches``, each of an image and those most like it by their mean features

Labels enter the score alone. Prints one JSON line of mIoU and accuracy in percent, edges, isolated
nodes and seconds for each seed and variant.

    python tests/benchmarks/research_graph.py ../shared/data/msrc \
        --backbone vit_tiny_patch16_224 --weights FILE.safetensors --seeds 0 1 2
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from research_spectral import unit_rows_of
from research_teachers import GRID, arguments, labels_of, opened, scored, see
from torch import Tensor

from raynef.config.recipe import Eigen, Nystrom, Recipe, Train
from raynef.core.affinity import Affinity
from raynef.core.kernel import from_scipy
from raynef.graph.cells import pooled
from raynef.graph.knn import nearest_neighbors, unit_rows
from raynef.jobs.nystrom import clusters_of_graph

BATCH, EPOCHS = 16, 4
SCALE_NEIGHBOR = 7

Sparse = scipy.sparse.csr_array


@dataclass(frozen=True)
class Nodes:
    """Unit rows of all images, [N, n, D], and who draws."""

    rows: Tensor
    seed: int

    @property
    def flat(self) -> Tensor:
        """[N·n, D]."""
        return self.rows.flatten(0, 1)

    def batches(self, *, alike: bool) -> Iterator[np.ndarray]:
        """Images of each batch of each epoch: at random, or one and those most like it."""
        images = unit_rows(self.rows.mean(dim=1)).numpy()
        draws = np.random.default_rng(self.seed)
        for _ in range(EPOCHS):
            left = draws.permutation(len(images))
            while len(left):
                if alike:
                    near = np.argsort(-(images[left] @ images[left[0]]), kind="stable")
                    left = left[near]
                yield left[:BATCH]
                left = left[BATCH:]
                draws.shuffle(left)


def directed(rows: Tensor, num_neighbors: int) -> Sparse:
    """Cosines to the nearest of unit rows [n, D], as [n, n]."""
    columns, values = nearest_neighbors(rows, rows, num_neighbors=num_neighbors, first_row=0)
    starts = np.arange(len(rows) + 1) * columns.shape[1]
    parts = (values.flatten().numpy(), columns.flatten().numpy(), starts)
    return Sparse(parts, shape=(len(rows), len(rows)))


def whole(nodes: Nodes) -> Sparse:
    found = directed(nodes.flat, Nystrom().num_neighbors)
    return ((found + found.T) / 2).tocsr()


def mutual(nodes: Nodes) -> Sparse:
    found = directed(nodes.flat, Nystrom().num_neighbors)
    return found.minimum(found.T.tocsr()).tocsr()


def scaled(nodes: Nodes) -> Sparse:
    found = directed(nodes.flat, Nystrom().num_neighbors)
    cosines = found.data.reshape(found.shape[0], -1)
    squares = 2 - 2 * cosines
    at = SCALE_NEIGHBOR - 1
    own = np.sqrt(np.partition(squares, at, axis=1)[:, at]).clip(1e-6)
    products = own[:, None] * own[found.indices].reshape(squares.shape)
    values = np.exp(-squares / products).astype(np.float32).reshape(-1)
    weighed = Sparse((values, found.indices, found.indptr), shape=found.shape)
    return weighed.maximum(weighed.T.tocsr()).tocsr()


def within(nodes: Nodes, num_neighbors: int, *, alike: bool) -> Sparse:
    """Edges between nodes that met in a batch."""
    each, dim = nodes.rows.shape[1:]
    size = len(nodes.rows) * each
    rows, columns, values = [], [], []
    for images in nodes.batches(alike=alike):
        if len(images) < 2:
            continue
        part = nodes.rows[torch.from_numpy(images)].reshape(-1, dim)
        found = directed(part, num_neighbors)
        places = (images[:, None] * each + np.arange(each)).reshape(-1)
        rows.append(np.repeat(places, np.diff(found.indptr)))
        columns.append(places[found.indices])
        values.append(found.data)
    at = (np.concatenate(rows), np.concatenate(columns))
    met = Sparse((np.concatenate(values), at), shape=(size, size))
    counts = Sparse((np.ones(len(at[0]), np.float32), at), shape=(size, size))
    met.data /= counts.data  # an edge that was found twice counts once
    return ((met + met.T) / 2).tocsr()


VARIANTS: dict[str, Callable[[Nodes], Sparse]] = {
    "whole": whole,
    "mutual": mutual,
    "scaled": scaled,
    "taps": whole,
    "batches": lambda nodes: within(nodes, 32, alike=False),
    "sparse": lambda nodes: within(nodes, 8, alike=False),
    "composed": lambda nodes: within(nodes, 32, alike=True),
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone, train, val = opened(options)
    seen, new, labels = see(backbone, train, (0, 0)), see(backbone, val, (0, 0)), labels_of(val)
    for name in options.variants:
        points = [joined(view.taps) if name == "taps" else last(view.taps) for view in (seen, new)]
        for seed in options.seeds:
            begun = time.perf_counter()
            made = Nodes(nodes_of(points[0]), seed)
            weights = VARIANTS[name](made)
            weights.eliminate_zeros()
            recipe = Recipe(
                eigen=Eigen(num_eigenfunctions=options.clusters), train=Train(seed=seed)
            )
            affinity = Affinity(None, None, from_scipy(weights))
            head, said = clusters_of_graph(made.flat, recipe, affinity)
            with torch.inference_mode():
                logits = head(points[1].flatten(0, 1)[None, None])[0]
            miou, accuracy = scored(logits.numpy().reshape(*points[1].shape[:2], -1), labels)
            line = {
                "root": Path(options.root).name,
                "backbone": options.backbone,
                "clusters": options.clusters,
                "variant": name,
                "seed": seed,
                "miou": miou,
                "accuracy": accuracy,
                "edges": weights.nnz,
                "isolated": said["isolated_nodes"],
                "seconds": round(time.perf_counter() - begun, 1),
            }
            print(json.dumps(line), flush=True)


def last(taps: np.ndarray) -> Tensor:
    """The last features at unit length, [N, 400, D]."""
    return unit_rows_of(torch.from_numpy(taps[:, :, -1].astype(np.float32)))


def joined(taps: np.ndarray) -> Tensor:
    """All taps, each at unit length, and so together, [N, 400, 3·D]."""
    parts = [torch.from_numpy(taps[:, :, at].astype(np.float32)) for at in range(taps.shape[2])]
    return torch.cat([unit_rows_of(part) for part in parts], dim=-1) / math.sqrt(len(parts))


def nodes_of(points: Tensor) -> Tensor:
    """Means of 2×2 patches at unit length, [N, 100, D]."""
    valid = torch.ones(points.shape[:2], dtype=torch.bool)
    return unit_rows_of(pooled(points, valid, (GRID, GRID), Nystrom().pool)[0])


if __name__ == "__main__":
    main()
