"""Eigenvectors of a graph over some patches, extended to any patch: Nyström's formula.

With P the random walk on the graph, an eigenvector is φ(i) = Σ P(i, j) φ(j) / μ at a node i. For a
patch x that is no node the same sum over its nearest landmarks defines φ(x) (Bengio et al., Neural
Computation 2004). Times μ, as in a diffusion map, it is their mean, weighted by similarity.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynef.assign.context import in_context
from raynef.core.typed import split
from raynef.graph.knn import largest, unit_rows

_ROWS = 1024  # of patches whose similarities to all landmarks are held at once
_GROUPS = 8  # ``largest`` takes rows of a multiple of so many columns


class Extension(nn.Module):
    """Taps to rows of a spectral embedding, by the landmarks of a graph.

    Args:
        landmarks: unit rows, float32 [L, D], or [L, 2D] in context.
        values: the eigenvectors there, float32 [L, m].
        num_neighbors: landmarks of which the mean is taken, at most L.
        context: weight of the image's mean feature beside each patch's, as of ``LinearHead``.
    """

    landmarks: Tensor
    values: Tensor

    def __init__(
        self, landmarks: Tensor, values: Tensor, *, num_neighbors: int, context: float = 0.0
    ) -> None:
        super().__init__()
        self.register_buffer("landmarks", landmarks)
        self.register_buffer("values", values)
        self.num_neighbors = min(num_neighbors, len(landmarks))
        self.context = context

    def features(
        self, taps: Tensor, valid: Tensor | None = None, grid: tuple[int, int] | None = None
    ) -> Tensor:
        """Taps [B, T, h·w, D] -> float32 [B, h·w, m]; the last tap alone is read."""
        features = taps[:, -1].float()
        with torch.autocast(features.device.type, enabled=False):  # near ones differ by little
            if self.context:
                features = in_context(features, valid, self.context)
            batch, length, width = features.shape
            return self.embed(features.reshape(-1, width)).view(batch, length, -1)

    def embed(self, points: Tensor) -> Tensor:
        """Rows of unit length, [n, D or 2D] -> [n, m]; 0 where no landmark is similar at all."""
        return torch.cat([self._mean(rows) for rows in split(unit_rows(points), _ROWS)])

    def _mean(self, rows: Tensor) -> Tensor:
        similarity = rows @ self.landmarks.T
        missing = -len(self.landmarks) % _GROUPS
        if missing:
            similarity = functional.pad(similarity, (0, missing), value=-torch.inf)
        weights, nearest = largest(similarity, self.num_neighbors)
        weights = weights.clamp(min=0)[:, None, :]
        return unit_rows(torch.bmm(weights, self.values[nearest])[:, 0])
