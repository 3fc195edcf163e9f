"""Teachers: several clusterings of the same patches, each of which gives soft clusters."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raynef.assign.context import patch_and_image
from raynef.assign.kmeans import find_centroids


@dataclass(frozen=True)
class Teachers:
    """K-means centers of patches in the context of their image, one clustering a teacher.

    Attributes:
        centers: float32 [M, K, 2D], of patches ``in_context`` of weight ``contexts[m]``.
        contexts: weight of the image's mean feature, for each of the M teachers.
        temperature: of the soft clusters; towards 0 they become hard.
    """

    centers: Tensor
    contexts: tuple[float, ...]
    temperature: float

    def to(self, device: torch.device) -> "Teachers":
        """The same on a device."""
        return Teachers(self.centers.to(device), self.contexts, self.temperature)

    def soft_clusters(self, features: Tensor, valid: Tensor) -> Tensor:
        """softmax((2 c·h − ‖c‖²) / temperature): [B, h·w, D] and [B, h·w] -> [B, h·w, M, K].

        Without the temperature the largest is the nearest center's, in squared distance.
        """
        unit, image = patch_and_image(features, valid)
        dim, (count, num_clusters) = unit.shape[-1], self.centers.shape[:2]
        # What an image adds is the same for all its patches: [B, 1, M, K].
        shared = torch.stack(
            [
                2 * weight * (image @ centers[:, dim:].T)
                for centers, weight in zip(self.centers, self.contexts, strict=True)
            ],
            dim=-2,
        ) - self.centers.square().sum(dim=-1)
        scores = unit @ (2 * self.centers[:, :, :dim].flatten(0, 1)).T
        scores = scores.view(*unit.shape[:2], count, num_clusters).add_(shared)
        return scores.div_(self.temperature).softmax(dim=-1)


def find_teachers(
    points: np.ndarray,
    contexts: tuple[float, ...],
    num_clusters: int,
    *,
    iterations: int,
    seed: int,
) -> np.ndarray:
    """Centers of each teacher, float32 [M, K, 2D], from points ``in_context`` of weight 1, [n, 2D].

    Each starts from other points: ``seed`` and its place among the teachers draw them.

    Raises:
        UserError: as of ``find_centroids``.
    """
    dim = points.shape[1] // 2
    found: list[np.ndarray] = []
    for place, weight in enumerate(contexts):
        scale = np.repeat(np.array([1, weight], dtype=np.float32), dim)
        centers = find_centroids(
            points * scale,
            num_clusters,
            iterations=iterations,
            seed=len(contexts) * seed + place,
        )
        found.append(centers)
    return np.stack(found)
