"""What each objective finds on a planted graph, beside its exact eigenvectors (scipy's eigsh).

A graph of 8 blocks in 4 pairs in 2 halves, of different sizes, so that its 8 leading eigenvalues
differ. The columns that are trained are a number for each node and column (``free``), or their
softmax (as ψ's), by Adam, with nothing else in the way: no network, no batches, no noise.

    paper        Eqs. 5 to 7, sequential: raynef's own eigenfunction_objective, β over decades
    joint        the same without the stop_gradient
    contrastive  −2 tr(uᵀκu) + ‖uᵀu‖² (spectral contrastive loss, arXiv:2106.04156)
    nested       the same summed over the first 1 … K columns (arXiv:2402.03655, joint nesting)
    smooseg      Σ (κ_ij − its mean) · (1 − cos(p_i, p_j)) of softmax columns (arXiv:2310.17874)
    primaps      K-means of two steps of the walk from each node, then EM at unit length: hard
                 clusters, their means, again (in the manner of arXiv:2404.16818)

Prints one JSON line for each, mean of the seeds: eigenvectors of the first K that a column of its
own has (|cos| > 0.9), how many of these in their place, how much of their space the columns span,
and normalized mutual information between the planted blocks and clusters: the largest column of
softmax, K-means of the rows of free ones.

    python tests/benchmarks/research_objectives.py [--seeds 0 1 2]
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse.linalg import eigsh
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from raynef.assign.kmeans import find_centroids
from raynef.core.kernel import Kernel
from raynef.eigen.objective import default_beta, effective_beta, eigenfunction_objective

SIZES = (90, 60, 110, 75, 50, 120, 80, 100)
INSIDE, PAIR, HALF, APART = 0.3, 0.05, 0.02, 0.006
K = len(SIZES)
STEPS = 2000


@dataclass(frozen=True)
class Planted:
    """κ = D^-½ A D^-½ [N, N], its K leading eigenvectors [N, K], and the block of each node."""

    kappa: scipy.sparse.csr_matrix
    eigenvectors: np.ndarray
    eigenvalues: np.ndarray
    blocks: np.ndarray

    @property
    def dense(self) -> Tensor:
        """κ, float32."""
        return torch.from_numpy(self.kappa.toarray()).float()

    def kernel(self) -> Kernel:
        """κ as training has it: half of it, and its transpose."""
        half = (self.dense / 2).to_sparse_csr()
        return Kernel(half=half, half_t=half, counts=[self.kappa.shape[0]])


def planted(seed: int) -> Planted:
    """A drawn graph."""
    draws = np.random.default_rng(seed)
    blocks = np.repeat(np.arange(K), SIZES)
    apart = blocks[:, None] ^ blocks[None]  # 0: same, 1: pair, 2 and 3: half
    chance = np.select([apart == 0, apart == 1, apart <= 3], [INSIDE, PAIR, HALF], APART)
    upper = np.triu(draws.random(chance.shape) < chance, 1).astype(float)
    adjacency = upper + upper.T
    root = 1 / np.sqrt(adjacency.sum(axis=1).clip(1))
    kappa = scipy.sparse.csr_matrix(root[:, None] * adjacency * root[None])
    values, vectors = eigsh(kappa, k=K, which="LA")
    order = np.argsort(-values)
    return Planted(kappa, vectors[:, order], values[order], blocks)


Loss = Callable[[Tensor], Tensor]


def paper(graph: Planted, beta_eff: float, *, sequential: bool = True) -> Loss:
    """raynef's own; β_eff is its weight."""
    kernel = graph.kernel()

    def loss(columns: Tensor) -> Tensor:
        found = eigenfunction_objective(
            columns, kernel, beta_eff=beta_eff, stop_gradient=sequential
        )
        return found.loss

    return loss


def contrastive(graph: Planted, *, nested: bool = False) -> Loss:
    """−2 tr(uᵀκu) + ‖uᵀu‖², whose best u are eigenvectors times the root of their eigenvalues."""
    kappa = graph.dense
    # Of the first 1 … K columns, summed: column i is in K − max(i, j) of them with column j.
    place = torch.arange(K)
    weight = (K - torch.maximum(place[:, None], place[None])) / K if nested else torch.ones((K, K))

    def loss(u: Tensor) -> Tensor:
        return (weight * ((u.T @ u).square() - 2 * torch.diag((u * (kappa @ u)).sum(0)))).sum()

    return loss


def smooseg(graph: Planted) -> Loss:
    """Neighbors are to agree, all others to differ: affinities less their mean."""
    affinity = graph.dense
    affinity = affinity - affinity.mean(dim=1, keepdim=True)

    def loss(p: Tensor) -> Tensor:
        unit = torch.nn.functional.normalize(p, dim=1)
        return (affinity * (1 - unit @ unit.T)).sum() / len(p)

    return loss


def trained(loss: Loss, *, softmax: bool, num_nodes: int, seed: int) -> np.ndarray:
    """The columns [N, K] after ``STEPS`` of Adam."""
    generator = torch.Generator().manual_seed(seed)
    scale = 0.1 if softmax else 1 / math.sqrt(num_nodes)
    values = scale * torch.randn((num_nodes, K), generator=generator)
    values.requires_grad_()
    rate = 0.05 if softmax else 0.05 / math.sqrt(num_nodes)
    optimizer = torch.optim.Adam([values], lr=rate)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * step / STEPS)) / 2
        optimizer.zero_grad()
        loss(values.softmax(dim=1) if softmax else values).backward()
        optimizer.step()
    with torch.no_grad():
        return (values.softmax(dim=1) if softmax else values).double().numpy()


def nearest(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """The center of each point."""
    return (2 * points @ centers.T - np.square(centers).sum(axis=1)).argmax(axis=1)


def primaps(graph: Planted, seed: int) -> np.ndarray:
    """One-hot clusters [N, K], by EM from K-means of the rows of κ²."""
    rows = (graph.kappa @ graph.kappa).toarray().astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    centers = find_centroids(rows, K, iterations=25, seed=seed)
    clusters = nearest(rows, centers)
    for _ in range(50):
        means = [rows[clusters == k].mean(axis=0) for k in np.unique(clusters)]
        centers = np.stack(means)
        centers /= np.linalg.norm(centers, axis=1, keepdims=True)
        clusters = nearest(rows, centers)
    hot = np.zeros((len(rows), K))
    hot[np.arange(len(rows)), clusters] = 1
    return hot


def compared(columns: np.ndarray, graph: Planted, *, clusters: bool, seed: int) -> dict[str, float]:
    """What the columns have of the eigenvectors and of the blocks."""
    norms = np.linalg.norm(columns, axis=0)
    unit = columns / norms.clip(1e-12)
    cosines = np.abs(unit.T @ graph.eigenvectors)  # [column, eigenvector]
    rows, matched = linear_sum_assignment(-cosines)
    own = cosines[rows, matched] > 0.9
    basis, singular, _ = np.linalg.svd(unit, full_matrices=False)
    basis = basis[:, singular > 1e-3 * singular[0]]
    if clusters:
        found = columns.argmax(axis=1)
    else:
        points = columns.astype(np.float32)
        points = points / np.linalg.norm(points, axis=1, keepdims=True).clip(1e-12)
        centers = find_centroids(points, K, iterations=50, seed=seed, starts=10)
        found = nearest(points, centers)
    return {
        "eigenvectors": float(own.sum()),
        "in_place": float((own & (rows == matched)).sum()),
        "space": float(np.square(basis.T @ graph.eigenvectors).sum() / K),
        "nmi": float(normalized_mutual_info_score(graph.blocks, found)),
        "clusters": float(len(np.unique(found))),
    }


def cases(graph: Planted, seed: int) -> Iterator[tuple[dict[str, Any], np.ndarray, bool]]:
    """What each is called, its columns, and whether the largest column is the cluster."""
    num_nodes = len(graph.blocks)
    yield {"objective": "exact"}, graph.eigenvectors, False

    def both(name: str, loss: Loss, kinds: tuple[bool, ...] = (False, True), **told: Any):
        for softmax in kinds:
            columns = trained(loss, softmax=softmax, num_nodes=num_nodes, seed=seed)
            kind = "softmax" if softmax else "free"
            yield {"objective": name, "columns": kind, **told}, columns, softmax

    published = default_beta(K)
    for factor in (0.01, 0.1, 1, 10, 100, 1000):
        beta_eff = effective_beta(factor * published, K)
        yield from both("paper", paper(graph, beta_eff), beta_eff=round(beta_eff, 6))
    for factor in (1, 100):
        beta_eff = effective_beta(factor * published, K)
        loss = paper(graph, beta_eff, sequential=False)
        yield from both("joint", loss, beta_eff=round(beta_eff, 6))
    yield from both("contrastive", contrastive(graph))
    yield from both("nested", contrastive(graph, nested=True))
    yield from both("smooseg", smooseg(graph), (True,))
    yield {"objective": "primaps"}, primaps(graph, seed), True


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[str, list[dict[str, float]]] = {}
    for seed in options.seeds:
        graph = planted(seed)
        for told, columns, clusters in cases(graph, seed):
            found = compared(columns, graph, clusters=clusters, seed=seed)
            results.setdefault(json.dumps(told), []).append(found)
    for told, found in results.items():
        mean = {name: round(float(np.mean([f[name] for f in found])), 3) for name in found[0]}
        print(json.dumps({**json.loads(told), **mean}), flush=True)


if __name__ == "__main__":
    main()
