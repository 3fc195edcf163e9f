"""Slow, obvious twins of the kernel and the objective: dense, in float64, with autograd."""

import torch
from torch import Tensor


def dense_kernel(
    features: Tensor,
    thumbnails: Tensor,
    *,
    num_neighbors: int,
    pixel_neighbors: tuple[tuple[int, float], ...] = ((10, 2.0), (5, 0.1)),
    alpha: float,
    valid: Tensor | None = None,
) -> Tensor:
    """κ of Eq. 4 as a dense [N, N] matrix, edge by edge as the paper writes it."""
    if valid is None:
        valid = torch.ones(thumbnails.shape[:3], dtype=torch.bool)
    return _normalized(_feature_affinity(features, num_neighbors)) + alpha * _normalized(
        _pixel_affinity(thumbnails, pixel_neighbors, valid)
    )


def _feature_affinity(features: Tensor, num_neighbors: int) -> Tensor:
    norms = features.norm(dim=1)
    similarity = features @ features.T / (norms[:, None] * norms[None, :]).clamp_min(1e-300)
    size = len(features)
    directed = torch.zeros_like(similarity)
    for row in range(size):
        others = [column for column in range(size) if column != row]
        others.sort(key=lambda column: -similarity[row, column].item())
        for column in others[:num_neighbors]:
            directed[row, column] = max(0.0, similarity[row, column].item())
    return (directed + directed.T) / 2


def _pixel_affinity(
    thumbnails: Tensor, pixel_neighbors: tuple[tuple[int, float], ...], valid: Tensor
) -> Tensor:
    images, height, width, _ = thumbnails.shape
    adjacency = torch.zeros(int(valid.sum()), int(valid.sum()), dtype=thumbnails.dtype)
    first = 0
    for image in range(images):
        cells = [(i, j) for i in range(height) for j in range(width) if valid[image, i, j]]
        for k, weight in pixel_neighbors:
            points = torch.tensor(
                [
                    [
                        *thumbnails[image, i, j].tolist(),
                        weight * j / max(1, width - 1),
                        weight * i / max(1, height - 1),
                    ]
                    for i, j in cells
                ],
                dtype=torch.float64,
            ).reshape(-1, 5)
            for row in range(len(cells)):
                distance = (points - points[row]).norm(dim=1)
                distance[row] = torch.inf
                for column in distance.argsort(stable=True)[: min(k, len(cells) - 1)].tolist():
                    adjacency[first + row, first + column] = 1
                    adjacency[first + column, first + row] = 1
        first += len(cells)
    return adjacency


def _normalized(adjacency: Tensor) -> Tensor:
    degrees = adjacency.sum(dim=1)
    root = torch.where(degrees > 0, degrees.clamp_min(1e-300) ** -0.5, 0)
    return root[:, None] * adjacency * root[None, :]


def dense_loss(psi: Tensor, kernel: Tensor, *, beta_eff: float) -> Tensor:
    """L as decisions write it, for autograd: norm, stop-gradient and double sum in the open."""
    u = psi / psi.norm(dim=0).clamp_min(1)
    r = u.T @ kernel @ u
    r_hat = u.detach().T @ kernel @ u
    penalty = sum(
        (r_hat[i, j] ** 2 for j in range(len(r)) for i in range(j)), start=torch.zeros(())
    )
    return -r.trace() + beta_eff * penalty
