"""W of Deep Spectral Methods: features' cosines above 0, plus λ times the color graph (Eq. 3).

Of attention keys hardly two point away from each other: F Fᵀ has few entries below 0, and

    max(0, F Fᵀ) = F Fᵀ + max(0, -F Fᵀ)

is a product with D columns and a sparse rest, exactly. A step of a solver then costs 2nD in place
of n² operations, and no n×n is held. Where the rest is not sparse, max(0, F Fᵀ) is held instead.

Trees and sparse sums are the host's work, products any device's: ``assembled`` makes what is sent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse
import torch
from torch import Tensor
from torch.nn import functional

from raynef.core.affinity import Affinity
from raynef.core.kernel import from_scipy
from raynef.core.typed import split
from raynef.graph.colors import COLOR_NEIGHBORS, color_affinity
from raynef.graph.knn import unit_rows

_BLOCK_ELEMENTS = 1 << 22  # cosines held at once
_SPARSE_COST = 32  # dense entries that one sparse entry outweighs, in time and in memory to make


@dataclass(frozen=True)
class ImageGraph:
    """W of one image of n nodes as it is assembled, n·D and its edges: no n×n."""

    factor: Tensor | None  # F, float32 [n, D]; None of colors alone
    sparse: scipy.sparse.csr_array  # λ W_knn, and max(0, -F Fᵀ) unless ``dense``: float64 [n, n]
    dense: bool = False  # whether max(0, F Fᵀ) is to be held

    @property
    def num_nodes(self) -> int:
        """n."""
        return self.sparse.shape[0]

    def on(self, device: torch.device | None = None) -> Affinity:
        """W, float64 (``dense`` in float32), on a device; by default that of F, or the host."""
        if device is None and self.factor is not None:
            device = self.factor.device
        sparse = from_scipy(self.sparse, device)
        if self.factor is None:
            return Affinity(factor=None, dense=None, sparse=sparse)
        factor = self.factor.to(device)
        if self.dense:
            dense = (factor @ factor.T).clamp_(min=0)[None]
            return Affinity(factor=None, dense=dense, sparse=sparse)
        return Affinity(factor=factor.double()[None], dense=None, sparse=sparse)


def assembled(
    features: Tensor | None,
    image: np.ndarray,
    *,
    color_weight: float,
    neighbors: Sequence[tuple[int, float]] = COLOR_NEIGHBORS,
    space: Literal["hsv", "rgb"] = "hsv",
    form: Literal["auto", "factored", "dense"] = "auto",
) -> ImageGraph:
    """W = W_feat + λ W_knn of one image at the resolution of ``image`` (Eqs. 1 to 3).

    Features are normalized, then resized bilinearly to the image's grid, as published.

    Args:
        features: [h', w', D], of the backbone's own grid; None for the color graph alone.
        image: at the grid where both meet, [h, w, 3] in [0, 1].
        color_weight: λ; infinite for the color graph alone.
        neighbors, space: of the color graph.
        form: how W_feat is held; ``auto`` takes what is cheaper.

    Raises:
        ValueError: a λ below 0, or neither features nor colors.
    """
    if not color_weight >= 0:
        raise ValueError(f"parameter color_weight must be >= 0, got {color_weight}")
    if features is None and color_weight == 0:
        raise ValueError("an affinity needs features, or a color_weight above 0")
    height, width, _ = image.shape
    size = height * width
    colors = scipy.sparse.csr_array((size, size), dtype=np.float64)
    alone = features is None or math.isinf(color_weight)
    if alone or color_weight > 0:
        weight = 1.0 if alone else color_weight
        colors = color_affinity(image, neighbors=neighbors, space=space) * weight
    if features is None or alone:
        return ImageGraph(None, colors)
    factor = upsampled(features, (height, width))
    rest = None if form == "dense" else _negatives(factor, most=_most(factor, form))
    if rest is None:
        return ImageGraph(factor, colors, dense=True)
    return ImageGraph(factor, (colors + rest).tocsr())


def upsampled(features: Tensor, grid: tuple[int, int]) -> Tensor:
    """Unit rows of [h', w', D], resized bilinearly to a grid (h, w): [h·w, D]."""
    height, width, dim = features.shape
    rows = unit_rows(features.reshape(-1, dim).float())
    if (height, width) == grid:
        return rows
    maps = rows.T.view(1, dim, height, width)
    maps = functional.interpolate(maps, size=grid, mode="bilinear", align_corners=False)
    return maps[0].flatten(1).T.contiguous()


def _most(factor: Tensor, form: str) -> float:
    """Entries below 0 up to which the factored form is the cheaper one."""
    size, dim = factor.shape
    return math.inf if form == "factored" else (size * size - 2 * size * dim) / _SPARSE_COST


def _negatives(factor: Tensor, *, most: float) -> scipy.sparse.csr_array | None:
    """max(0, -F Fᵀ) in row blocks; None where more than ``most`` entries are above 0."""
    if most < 0:
        return None
    size, exact = len(factor), factor.double()
    block = max(1, _BLOCK_ELEMENTS // size)
    pairs: list[Tensor] = []
    count = 0
    for start in range(0, size, block):
        found = ((factor[start : start + block] @ factor.T) < 0).nonzero()
        pairs.append(found + found.new_tensor([start, 0]))
        count += len(found)
        if count > most:
            return None
    own, other = torch.cat(pairs).T
    # Exact products of these pairs alone; float32 decided which they are.
    products = [
        -(exact[a] * exact[b]).sum(dim=1)
        for a, b in zip(split(own, 1 << 16), split(other, 1 << 16), strict=True)
    ]
    values = torch.cat(products).clamp_min(0).cpu().numpy()
    entries = (values, (own.cpu().numpy(), other.cpu().numpy()))
    rest = scipy.sparse.csr_array(entries, shape=(size, size))
    return ((rest + rest.T) / 2).tocsr()
