"""Sums of rows by the group of each, and how large the groups are."""

import numpy as np
import torch
from torch import Tensor

_BLOCK = 65_536  # rows that are held in float64 at once


def sums_of_groups(rows: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Sums of the rows [N, D] of each of ``count`` groups, int64 [N] -> float64 [count, D].

    A group's rows are added one after the other in float64: the bits are those of ``numpy.add.at``,
    which is slower.
    """
    sums = torch.zeros((count, rows.shape[1]), dtype=torch.float64)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK].astype(np.float64, order="C")
        members = torch.tensor(groups[start : start + _BLOCK].astype(np.int64))
        sums.index_add_(0, members, torch.tensor(block))
    return sums.numpy()


def sizes_of_groups(groups: Tensor, count: int) -> Tensor:
    """How many of ``groups``, int64 [N], are each of 0 … ``count`` - 1: int64 [count].

    As ``bincount``, which on a GPU waits for the largest of them.
    """
    sizes = torch.zeros(count, dtype=torch.int64, device=groups.device)
    return sizes.scatter_add_(0, groups, torch.ones_like(groups))
