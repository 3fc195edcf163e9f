"""Probabilities of clusters, pixel by pixel, in bounded memory."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

_BAND_ELEMENTS = 1 << 22  # upsampled logits held at once: 16 MB of float32


def top_probabilities(
    logits: Tensor, rows: Tensor, columns: Tensor, *, num_top: int, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """log softmax over all K upsampled maps, of the clusters with the largest mean probability.

    Memory is that of the result and of a band of rows, whatever K.

    Args:
        logits: L of one image, [h, w, K], which are divided by the temperature first.
        rows, columns: R [H, h] and C [W, w]; pixel logits are R·L·Cᵀ.
        num_top: m, clusters to keep; all where K is no larger.

    Returns:
        The clusters, int64 [m], ascending, and their log probabilities, float32 [m, H, W].
    """
    logits = logits.float() / temperature
    num_clusters = logits.shape[-1]
    norm = torch.empty((len(rows), len(columns)))
    mean = torch.zeros(num_clusters, dtype=torch.float64)
    for band, upsampled in _bands(logits, rows, columns):
        norm[band] = upsampled.logsumexp(dim=-1)
        mean += (upsampled - norm[band][:, :, None]).exp_().sum(dim=(0, 1), dtype=torch.float64)
    clusters = mean.topk(min(num_top, num_clusters)).indices.sort().values
    log_probabilities = torch.empty((len(clusters), len(rows), len(columns)))
    for band, upsampled in _bands(logits[..., clusters], rows, columns):
        log_probabilities[:, band] = (upsampled - norm[band][:, :, None]).permute(2, 0, 1)
    return clusters, log_probabilities


def group_probabilities(
    logits: Tensor,
    rows: Tensor,
    columns: Tensor,
    groups: Tensor,
    *,
    num_groups: int,
    temperature: float = 1.0,
) -> Tensor:
    """softmax over all K upsampled maps, summed over the clusters of a group, float32 [n, H, W].

    Args:
        logits, rows, columns, temperature: as of ``top_probabilities``.
        groups: of each cluster, int64 [K]; -1 for one that is in none.
        num_groups: n.
    """
    members = functional.one_hot(groups + 1, num_groups + 1)[:, 1:].float()  # [K, n]
    found = torch.empty((num_groups, len(rows), len(columns)))
    for band, upsampled in _bands(logits.float() / temperature, rows, columns):
        found[:, band] = (upsampled.softmax(dim=-1) @ members).permute(2, 0, 1)
    return found


def _bands(logits: Tensor, rows: Tensor, columns: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Upsampled logits [b, W, K] of bands of rows."""
    width, num_clusters = len(columns), logits.shape[-1]
    across = torch.einsum("xw,hwk->hxk", columns, logits).flatten(1)  # [h, W·K]
    size = max(1, _BAND_ELEMENTS // (width * num_clusters))
    for start in range(0, len(rows), size):
        band = slice(start, start + size)
        yield band, (rows[band] @ across).view(-1, width, num_clusters)
