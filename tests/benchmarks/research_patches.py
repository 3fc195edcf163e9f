"""Eigenfunctions of the graph of a whole set, learned from edges drawn of it, without a label.

The paper's ψ sees the edges within a batch of images. Here a step draws edges of one graph over
all training images, with the chance of their weight: 2×2 means of the last features, each joined
to its 32 nearest of the set, as in ``raynef baseline spectral``. An end of an edge is one of the
four patches of its mean. A network of one patch (its taps, the mean of its 3×3 neighbors and of its
image) has K columns, and the objectives are estimated from the ends that were drawn:

    paper         Eqs. 5 to 7: softmax columns of an orthogonal head, the published β
    strong        the same on free columns, at a hundred times that β
    contrastive   −2 E[u·u⁺] + E[(u·u')²] over edges and over pairs (arXiv:2106.04156), free columns
    soft          the same on softmax columns
    nested        the same summed over the first 1 … K columns, free ones
    context       contrastive, of a graph whose nodes are beside half of their image's mean
    views         contrastive; each end is seen in one of five views (moved by 4 pixels)
    between       the same; half of the edges join a patch with itself in another view
    only          the same; all of them do

Clusters are of K-means of the network's features before its head (``features``) and of the columns
at unit length (``columns``; of softmax the largest). Labels enter the score alone. Prints one JSON
line of mIoU and accuracy in percent for each seed and variant.

    python tests/benchmarks/research_patches.py ../shared/data/msrc \
        --backbone vit_tiny_patch16_224 --weights FILE.safetensors --seeds 0 1 2 --cache DIR
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from research_graph import Sparse, directed
from research_inputs import Inputs, cached
from research_spectral import unit_rows_of
from research_teachers import (
    GRID,
    Labels,
    arguments,
    centers,
    cluster_logits,
    labels_of,
    opened,
    scored,
    unit_length,
)
from torch import Tensor, nn
from torch.nn import functional

from raynef.config.recipe import Nystrom
from raynef.core.draws import torch_seeded
from raynef.eigen.objective import default_beta, effective_beta
from raynef.eigen.orthogonal import keep_orthonormal
from raynef.features.precision import uses_bfloat16
from raynef.graph.cells import pooled
from raynef.graph.knn import unit_rows

EDGES, STEPS, WIDTH = 1024, 1200, 256
NUM_TAPS = 3


class Pointwise(nn.Module):
    """Features [n, WIDTH] and columns [n, K] of patches, each by itself.

    ``forward`` takes what ``seen_of`` makes of the patches, [n, 5, D].
    """

    def __init__(self, dim: int, num_columns: int, *, softmax: bool, seed: int) -> None:
        super().__init__()
        self.softmax = softmax
        with torch_seeded("psi", seed):
            self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(NUM_TAPS + 2))
            self.first = nn.Linear((NUM_TAPS + 2) * dim, WIDTH)
            self.blocks = nn.ModuleList(
                nn.Sequential(
                    nn.LayerNorm(WIDTH),
                    nn.Linear(WIDTH, 2 * WIDTH),
                    nn.GELU(),
                    nn.Linear(2 * WIDTH, WIDTH),
                )
                for _ in range(2)
            )
            self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, num_columns)
            if softmax:
                keep_orthonormal(self.head)

    def features(self, seen: Tensor) -> Tensor:
        normed = [norm(part) for norm, part in zip(self.norms, seen.unbind(1), strict=True)]
        hidden = self.first(torch.cat(normed, -1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.norm(hidden)

    def columns(self, features: Tensor) -> Tensor:
        logits = self.head(features).float()
        return logits.softmax(-1) if self.softmax else logits


def seen_of(taps: np.ndarray) -> np.ndarray:
    """[..., 400, 3, D] -> float16 [..., 400, 5, D]: with the means of 3×3 patches and of all."""
    last = torch.from_numpy(taps[..., -1, :].astype(np.float32))
    dim = last.shape[-1]
    grid = last.reshape(-1, GRID, GRID, dim).permute(0, 3, 1, 2)
    near = functional.avg_pool2d(grid, 3, stride=1, padding=1, count_include_pad=False)
    near = near.permute(0, 2, 3, 1).reshape(last.shape)
    image = last.mean(dim=-2, keepdim=True).expand(last.shape)
    more = torch.stack([near, image], dim=-2).half().numpy()
    return np.concatenate([taps, more], axis=-2)


@dataclass(frozen=True)
class Edges:
    """The ends of all edges of a graph, and the chance up to each: its weight, summed."""

    first: np.ndarray
    second: np.ndarray
    upto: np.ndarray

    @classmethod
    def of(cls, graph: Sparse) -> "Edges":
        first = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
        upto = np.cumsum(graph.data.clip(0).astype(np.float64))
        return cls(first, graph.indices, upto / upto[-1])

    def draw(self, count: int, draws: np.random.Generator) -> np.ndarray:
        """Nodes at both ends, [2, count]."""
        at = np.searchsorted(self.upto, draws.random(count))
        return np.stack([self.first[at], self.second[at]])


def graph_of(inputs: Inputs, context: float) -> Sparse:
    """Of 2×2 means of the images themselves, in context, both directions of each edge."""
    last = unit_rows_of(torch.from_numpy(inputs.known[0, :, :, NUM_TAPS - 1].astype(np.float32)))
    means, _ = pooled(last, torch.ones(last.shape[:2], dtype=torch.bool), (GRID, GRID), 2)
    if context:
        image = context * unit_rows(means.mean(dim=1))[:, None].expand(means.shape)
        means = torch.cat([unit_rows_of(means), image], dim=-1)
    found = directed(unit_rows(means.flatten(0, 1)), Nystrom().num_neighbors)
    return ((found + found.T) / 2).tocsr()


Loss = Callable[[Tensor, Tensor], Tensor]


def paper(beta_eff: float) -> Loss:
    """Eqs. 5 to 7 of the edges that were drawn: columns at unit length over all their ends."""

    def loss(one: Tensor, other: Tensor) -> Tensor:
        norms = (one.square().sum(0) + other.square().sum(0)).sqrt()
        one, other = one / norms, other / norms
        r = one.T @ other + other.T @ one
        fixed, again = one.detach(), other.detach()
        later = (fixed.T @ other + again.T @ one).triu(1)
        return beta_eff * later.square().sum() - r.trace()

    return loss


def contrastive(*, nested: bool = False) -> Loss:
    """−2 E[u·u⁺] + E[(u·u')²], which eigenvectors times the root of their eigenvalues minimize."""

    def loss(one: Tensor, other: Tensor) -> Tensor:
        k = one.shape[1]
        place = torch.arange(k)
        weight = (k - torch.maximum(place[:, None], place)) / k if nested else torch.ones((k, k))
        # E over pairs of ends that are independent: of the first ends, of the second ends.
        apart = (one.T @ one) * (other.T @ other) / len(one) ** 2
        near = (one * other).mean(0)
        return (weight * apart).sum() - 2 * (weight.diagonal() * near).sum()

    return loss


@dataclass(frozen=True)
class Variant:
    """Objective, columns, weight of the image's mean in the graph, how ends of edges are seen."""

    loss: Loss
    softmax: bool = False
    context: float = 0.0
    views: bool = False
    between: float = 0.0
    """Share of the edges that join a patch with itself in another view."""


def variants(num_clusters: int) -> dict[str, Variant]:
    published = default_beta(num_clusters)
    return {
        "paper": Variant(paper(effective_beta(published, num_clusters)), softmax=True),
        "strong": Variant(paper(effective_beta(100 * published, num_clusters))),
        "contrastive": Variant(contrastive()),
        "soft": Variant(contrastive(), softmax=True),
        "nested": Variant(contrastive(nested=True)),
        "context": Variant(contrastive(), context=0.5),
        "views": Variant(contrastive(), views=True),
        "between": Variant(contrastive(), views=True, between=0.5),
        "only": Variant(contrastive(), views=True, between=1.0),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--variants", nargs="+", choices=list(variants(2)))
    parser.add_argument("--cache", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone, train, val = opened(options)
    inputs, labels = cached(options.cache, backbone, train, val), labels_of(val)
    every = variants(options.clusters)
    names = options.variants or list(every)
    graphs = {
        context: Edges.of(graph_of(inputs, context))
        for context in {every[name].context for name in names}
    }
    known = np.stack([seen_of(view[:, :, :NUM_TAPS]) for view in inputs.known])
    new = seen_of(inputs.new[0, :, :, :NUM_TAPS])
    for name in names:
        for seed in options.seeds:
            begun = time.perf_counter()
            edges = graphs[every[name].context]
            network = fit(known, edges, every[name], options.clusters, seed)
            seconds = round(time.perf_counter() - begun, 1)
            found = report(network, known[0], new, labels, options.clusters, seed)
            line = {"root": Path(options.root).name, "backbone": options.backbone}
            line |= {"clusters": options.clusters, "variant": name, "seed": seed}
            print(json.dumps({**line, "train_s": seconds, **found}), flush=True)


def fit(
    known: np.ndarray, edges: Edges, variant: Variant, num_clusters: int, seed: int
) -> Pointwise:
    """Train on drawn edges; ``known`` [views, N, 400, 5, D]."""
    network = Pointwise(known.shape[-1], num_clusters, softmax=variant.softmax, seed=seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.02)
    draws = np.random.default_rng(seed)
    half = uses_bfloat16("auto", torch.device("cpu"))
    for step in range(STEPS):
        rate = min(1, (step + 1) / 50) * (1 + math.cos(math.pi * step / STEPS)) / 2
        optimizer.param_groups[0]["lr"] = 1e-3 * rate
        patches, views = drawn(edges, variant, len(known), draws)
        images, places = np.divmod(patches.reshape(-1), GRID * GRID)
        seen = torch.from_numpy(known[views.reshape(-1), images, places].astype(np.float32))
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            features = network.features(seen)
        one, other = network.columns(features.float()).chunk(2)
        loss = variant.loss(one, other)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return network.eval()


def drawn(
    edges: Edges, variant: Variant, num_views: int, draws: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Patches [2, EDGES] at the ends of edges, numbered over all images, and the view of each."""
    image, cell = np.divmod(edges.draw(EDGES, draws), (GRID // 2) ** 2)
    row, column = np.divmod(cell, GRID // 2)
    row = 2 * row + draws.integers(0, 2, row.shape)
    column = 2 * column + draws.integers(0, 2, row.shape)
    patches = (image * GRID + row) * GRID + column
    views = draws.integers(0, num_views if variant.views else 1, patches.shape)
    same = draws.random(EDGES) < variant.between
    patches[1, same] = patches[0, same]
    apart = draws.integers(1, num_views, EDGES)
    views[1, same] = ((views[0] + apart) % num_views)[same]
    return patches, views


@torch.inference_mode()
def report(
    network: Pointwise,
    known: np.ndarray,
    new: np.ndarray,
    labels: Labels,
    num_clusters: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """(mIoU, accuracy) in percent of the clusters of features and of columns."""

    def outputs(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features, columns = [], []
        for part in np.array_split(seen, max(1, len(seen) // 20)):
            found = network.features(torch.from_numpy(part.astype(np.float32)).flatten(0, 1))
            features.append(found.unflatten(0, part.shape[:2]))
            columns.append(network.columns(found).unflatten(0, part.shape[:2]))
        return torch.cat(features).numpy(), torch.cat(columns).numpy()

    (known_features, known_columns), (new_features, new_columns) = outputs(known), outputs(new)

    def clustered(fitted: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
        centroids = centers(fitted, num_clusters, seed)
        return scored(cluster_logits(predicted, centroids), labels)

    if network.softmax:
        own = scored(new_columns, labels)
    else:
        own = clustered(unit_length(known_columns), unit_length(new_columns))
    return {"features": clustered(known_features, new_features), "columns": own}


if __name__ == "__main__":
    main()
