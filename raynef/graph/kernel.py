"""κ of Eq. 4: the normalized feature graph plus α times the normalized pixel graph."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from raynef.assign.sums import sizes_of_groups
from raynef.config.sections import Search
from raynef.core.collectives import Collectives, SingleProcess
from raynef.core.kernel import Kernel, csr, transposed
from raynef.graph.knn import nearest_neighbors, unit_rows
from raynef.graph.pixels import pixel_edges

PIXEL_NEIGHBORS = ((10, 2.0), (5, 0.1))  # (k, distance weight), as in Deep Spectral Methods


def build_kernel(
    features: Tensor,
    thumbnails: Tensor,
    *,
    num_neighbors: int,
    pixel_neighbors: Sequence[tuple[int, float]] = PIXEL_NEIGHBORS,
    alpha: float,
    search: Search = "blocks",
    valid: Tensor | None = None,
    collectives: Collectives | None = None,
) -> Kernel:
    """Build κ = D^-½ A D^-½ + α D̃^-½ Ã D̃^-½ (Eq. 4, arXiv:2304.02841) over the global batch.

    A = (S + Sᵀ)/2 with S the cosine similarities, negatives 0, to the ``num_neighbors`` nearest
    patches of the global batch (Eq. 2); Ã the pixel graph (Eq. 3). A patch without edges has
    degree 0: its row of κ is 0. float64 stays float64, half becomes float32.

    Args:
        features: this worker's rows, image by image, row-major over the grid, [n, D].
        thumbnails: this worker's images at the size of the patch grid, [b, h, w, 3] in [0, 1].
        num_neighbors: k of Eq. 2, capped at N - 1.
        pixel_neighbors: pairs (k, distance weight) of Eq. 3, each k capped at h·w - 1.
        alpha: weight of the pixel graph.
        search: how neighbors are found; see ``nearest_neighbors``.
        valid: which patches have a row in ``features``, [b, h, w]; all of them if None. Patches
            with padding are left out: they enter no graph, norm or loss.
        collectives: needed when the batch is spread over workers, who have a share of κ each.

    Raises:
        ValueError: where the numbers of rows and patches, or the parameters, do not fit.

    Collectives: gathers of [N, D] features and of the row counts; one sum of N degrees.
    """
    collectives = collectives or SingleProcess()
    features, thumbnails = _floating(features.detach()), _floating(thumbnails.detach())
    if valid is None:
        valid = torch.ones(thumbnails.shape[:3], dtype=torch.bool, device=thumbnails.device)
    _check(features, thumbnails, valid, num_neighbors, pixel_neighbors, alpha)

    local = unit_rows(features)
    counts = _row_counts(local, collectives)
    first = sum(counts[: collectives.rank])
    everyone = collectives.all_gather_rows(local, counts)
    columns, similarity = nearest_neighbors(
        local, everyone, num_neighbors=num_neighbors, first_row=first, search=search
    )
    scale = _inverse_root(_degrees(columns, similarity, sum(counts), first, collectives))
    own_scale = scale[first : first + local.shape[0]]
    feature_values = 0.5 * similarity * own_scale[:, None] * scale[columns]

    pixel_rows, pixel_columns = pixel_edges(thumbnails, pixel_neighbors, valid)
    per_row = sizes_of_groups(pixel_rows, local.shape[0])
    pixel_scale = _inverse_root(per_row.to(local.dtype))
    pixel_values = 0.5 * alpha * pixel_scale[pixel_rows] * pixel_scale[pixel_columns]

    # A row holds its k feature edges, then its pixel edges, which are sorted by row: pixel edge e
    # stands behind (row + 1)·k feature edges.
    num_rows, k = columns.shape
    crow = functional.pad((per_row + k).cumsum(0), (1, 0))
    feature_at = crow[:-1, None] + torch.arange(k, device=crow.device)
    pixel_at = torch.arange(len(pixel_rows), device=crow.device) + (pixel_rows + 1) * k
    merged_columns = crow.new_empty(num_rows * k + len(pixel_rows))
    merged_values = local.new_empty(merged_columns.shape)
    merged_columns[feature_at], merged_values[feature_at] = columns, feature_values
    merged_columns[pixel_at], merged_values[pixel_at] = pixel_columns + first, pixel_values
    half = csr(crow, merged_columns, merged_values, (num_rows, sum(counts)))
    return Kernel(half=half, half_t=transposed(half), counts=counts, rank=collectives.rank)


def _row_counts(local: Tensor, collectives: Collectives) -> list[int]:
    """Rows of every worker; of one alone nothing is asked, so that nobody waits for a device."""
    if collectives.world_size == 1:
        return [local.shape[0]]
    own = torch.tensor([local.shape[0]], dtype=torch.int64, device=local.device)
    everyone = collectives.all_gather_rows(own, [1] * collectives.world_size)
    return [int(count) for count in everyone.cpu().numpy()]


def _floating(value: Tensor) -> Tensor:
    return value if value.dtype in (torch.float32, torch.float64) else value.float()


def _degrees(
    columns: Tensor, values: Tensor, num_patches: int, first: int, collectives: Collectives
) -> Tensor:
    """Degrees of A = (S + Sᵀ)/2 from the rows of S that this worker owns: [N]."""
    degrees = torch.zeros(num_patches, dtype=values.dtype, device=values.device)
    degrees.index_add_(0, columns.flatten(), values.flatten())
    degrees[first : first + values.shape[0]] += values.sum(dim=1)
    return collectives.all_reduce_sum(degrees) / 2


def _inverse_root(degrees: Tensor) -> Tensor:
    """D^-½, with 0 for an isolated patch."""
    return torch.where(degrees > 0, degrees.clamp_min(1e-30).rsqrt(), 0)


def _check(
    features: Tensor,
    thumbnails: Tensor,
    valid: Tensor,
    num_neighbors: int,
    pixel_neighbors: Sequence[tuple[int, float]],
    alpha: float,
) -> None:
    if features.ndim != 2 or thumbnails.ndim != 4 or thumbnails.shape[-1] != 3:
        raise ValueError(
            "build_kernel needs features [N, D] and thumbnails [B, h, w, 3], got "
            f"{list(features.shape)} and {list(thumbnails.shape)}"
        )
    if valid.shape != thumbnails.shape[:3]:
        raise ValueError(
            f"parameter valid must have shape {list(thumbnails.shape[:3])}, got {list(valid.shape)}"
        )
    # Of a mask on a GPU the count would be waited for.
    there = np.count_nonzero(valid.numpy()) if valid.device.type == "cpu" else features.shape[0]
    if there != features.shape[0]:
        raise ValueError(
            f"features has {features.shape[0]} rows, but the thumbnails hold {there} valid "
            "patches; rows are ordered image by image, row-major over the patch grid"
        )
    if num_neighbors < 1 or any(k < 1 for k, _ in pixel_neighbors):
        raise ValueError(
            "parameters num_neighbors and pixel_neighbors must be positive counts, got "
            f"{num_neighbors} and {pixel_neighbors}"
        )
    if alpha < 0:
        raise ValueError(f"parameter alpha must be >= 0, got {alpha}")
