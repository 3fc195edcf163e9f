"""W at the full resolution of an image: a random share of the features' entries, and the colors.

At N pixels max(0, F Fᵀ) has N² entries, and for matting 1/16² of them are drawn at random (Sec.
4.4). F holds only the features of h'·w' patches, interpolated: with u's four bilinear weights in
row u of U,

    F Fᵀ = U G Uᵀ,      G = F₀ F₀ᵀ  [h'·w', h'·w'],

so that an entry costs four lookups in row u of U G, and neither N×N nor N×D is held.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse
from torch import Tensor

from raynef.core.affinity import Affinity
from raynef.core.kernel import from_scipy
from raynef.graph.colors import COLOR_NEIGHBORS, color_affinity
from raynef.graph.knn import unit_rows

FRACTION = 1 / 16**2
"""Of the entries of W_feat that are kept."""

_BLOCK_ELEMENTS = 1 << 20  # of U G, and of drawn pairs, held at once: within a cache
_MOST_ENTRIES = 2**31 - 1  # that 32-bit indices can count


def sampled_affinity(
    features: Tensor,
    image: np.ndarray,
    *,
    color_weight: float,
    fraction: float = FRACTION,
    neighbors: Sequence[tuple[int, float]] = COLOR_NEIGHBORS,
    space: Literal["hsv", "rgb"] = "hsv",
    seed: int = 0,
    workers: int = 1,
) -> Affinity:
    """W = (a share of W_feat's entries) + λ W_knn, at the resolution of ``image``.

    Each pair {u, v}, u = v among them, is kept with probability ``fraction``, and then in both
    directions. What is kept is not scaled by 1/fraction, as published: where a patch has 16×16
    pixels, 1/16² leaves each pixel about as many entries of W_feat as there are patches, and λ
    keeps its meaning; scaled, the features would outweigh the colors 256 times as much.

    Time and memory follow the entries that are kept, fraction·N²: 8 bytes each, and as much again
    while W is made (23 million at 240×320, 368 million at 480×640).

    Args:
        features: [h', w', D], of the backbone's own grid; normalized here, then interpolated.
        image: [H, W, 3] in [0, 1]; N = H·W.
        color_weight: λ.
        fraction: of W_feat's entries.
        neighbors, space, workers: as of ``color_affinity``.
        seed: of the draw; the same whatever the machine's threads.

    Returns:
        W, held in ``sparse`` alone, float32, on the CPU.

    Raises:
        ValueError: a fraction or λ out of range, or more entries than can be counted.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"parameter fraction must be above 0 and at most 1, got {fraction}")
    if not 0 <= color_weight < math.inf:
        raise ValueError(
            f"parameter color_weight must be >= 0 and finite, got {color_weight}; the color graph "
            "alone is assembled's"
        )
    height, width, _ = image.shape
    size = height * width
    expected = fraction * size**2 + 2 * size * sum(k for k, _ in neighbors)
    if expected > 0.999 * _MOST_ENTRIES:
        raise ValueError(
            f"an affinity of {height}x{width} pixels at a fraction of {fraction:.3g} has about "
            f"{expected:.3g} entries, more than {_MOST_ENTRIES}; resize the image, or lower "
            "fraction"
        )
    colors = scipy.sparse.csr_array((size, size), dtype=np.float32)
    if color_weight > 0:
        colors = color_affinity(image, neighbors=neighbors, space=space, workers=workers)
        upper = scipy.sparse.triu(colors * color_weight, format="csr")
        colors = scipy.sparse.csr_array(upper, dtype=np.float32)
    cosines = _Cosines.of(features, (height, width))
    row = max(features.shape[0] * features.shape[1], fraction * size)
    rows_at_once = max(1, int(_BLOCK_ELEMENTS / row))
    parts: list[scipy.sparse.csr_array] = []
    for start, counts, columns in _drawn_pairs(size, fraction, seed, rows_at_once):
        values = np.maximum(cosines.at(start, counts, columns), 0)
        # Of a half whose sum with its transpose is W, the diagonal is counted twice.
        values[np.repeat(np.arange(start, start + len(counts)), counts) == columns] /= 2
        crow = np.concatenate([[0], counts.cumsum()]).astype(np.int32)
        drawn = scipy.sparse.csr_array((values, columns, crow), shape=(len(counts), size))
        parts.append(drawn + colors[start : start + len(counts)])
    half = scipy.sparse.vstack(parts, format="csr")
    return Affinity(factor=None, dense=None, sparse=from_scipy((half + half.T).tocsr()))


def _drawn_pairs(
    size: int, fraction: float, seed: int, rows_at_once: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Pairs u <= v, each kept with probability ``fraction``, in order, whatever the rows at once.

    Gaps between the kept ones are geometric, so that only those are drawn, from one stream.

    Yields:
        The first u, how many v for it and each of the following u, and the v, int32.
    """
    generator = np.random.default_rng(seed)
    scale = 0.0 if fraction == 1 else -1 / math.log1p(-fraction)
    position, kept = -1, np.empty(0, np.int64)
    first = np.arange(size + 1, dtype=np.int64)
    first = first * size - first * (first - 1) // 2  # position of the pair (u, u)
    for start in range(0, size, rows_at_once):
        bounds = first[start : start + rows_at_once + 1]
        while position < bounds[-1]:
            missing = int((bounds[-1] - position) * fraction) + 64
            gaps = (generator.standard_exponential(missing) * scale).astype(np.int64) + 1
            kept = np.concatenate([kept, position + gaps.cumsum()])
            position = kept[-1]
        ends = np.searchsorted(kept, bounds[1:])
        counts = np.diff(ends, prepend=0)
        shift = bounds[:-1] - np.arange(start, start + len(counts))
        yield start, counts, (kept[: ends[-1]] - np.repeat(shift, counts)).astype(np.int32)
        kept = kept[ends[-1] :]


@dataclass(frozen=True)
class _Cosines:
    """Entries of F Fᵀ."""

    gram: np.ndarray  # G, float32 [h'·w', h'·w']
    corners: np.ndarray  # patches that each pixel lies between, [N, 4]
    shares: np.ndarray  # its bilinear weights of them, float32 [N, 4]

    @classmethod
    def of(cls, features: Tensor, grid: tuple[int, int]) -> "_Cosines":
        """For features [h', w', D] on a grid (H, W)."""
        height, width, dim = features.shape
        rows = unit_rows(features.detach().reshape(-1, dim).float()).cpu()
        top, bottom, down = _between(grid[0], height)
        left, right, across = _between(grid[1], width)
        corners = [y[:, None] * width + x for y in (top, bottom) for x in (left, right)]
        shares = [y[:, None] * x for y in (1 - down, down) for x in (1 - across, across)]
        return cls(
            gram=(rows @ rows.T).numpy(),
            corners=np.stack(corners, axis=-1).reshape(-1, 4),
            shares=np.stack(shares, axis=-1).reshape(-1, 4).astype(np.float32),
        )

    def at(self, start: int, counts: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Entries of the rows from ``start`` on, of which each has ``counts`` columns."""
        rows = slice(start, start + len(counts))
        to_patches = np.einsum("uk,ukp->up", self.shares[rows], self.gram[self.corners[rows]])
        offsets = np.repeat(np.arange(len(counts)) * len(self.gram), counts)
        found = np.zeros(len(columns), np.float32)
        for corner in range(4):
            at = offsets + self.corners[:, corner][columns]
            found += to_patches.ravel()[at] * self.shares[:, corner][columns]
        return found


def _between(num_out: int, num_in: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two inputs that each output of a bilinear resize lies between, and how far along."""
    at = np.maximum((np.arange(num_out) + 0.5) * num_in / num_out - 0.5, 0)
    low = np.minimum(at.astype(np.int64), num_in - 1)
    return low, np.minimum(low + 1, num_in - 1), at - low
