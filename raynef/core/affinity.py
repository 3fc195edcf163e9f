"""The affinity W of the patches of one image, or of several of one size, as an operator."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raynef.core.kernel import csr


@dataclass(frozen=True)
class Affinity:
    """W = F Fᵀ + S + E for each of B images of n nodes: symmetric, no entry below 0.

    A product with b vectors costs B·n·(D + b) memory; only where ``dense`` is held, n² too.
    """

    factor: Tensor | None  # F, [B, n, D]
    dense: Tensor | None  # S, float32 [B, n, n]
    sparse: Tensor  # E, CSR over the nodes of all images, block by block, [B·n, B·n]
    num_images: int = 1  # B

    @property
    def num_nodes(self) -> int:
        """n."""
        return self.sparse.shape[0] // self.num_images

    def matmul(self, vectors: Tensor) -> Tensor:
        """W times the columns of each image's vectors, [B, n, b] -> [B, n, b]."""
        product = (self.sparse @ vectors.flatten(0, 1)).view(vectors.shape)
        if self.factor is not None:
            product = product + self.factor @ (self.factor.mT @ vectors)
        if self.dense is not None:
            product = product + (self.dense @ vectors.to(self.dense.dtype)).to(product.dtype)
        return product

    def degrees(self) -> Tensor:
        """Row sums of W, [B, n]."""
        ones = self.sparse.values().new_ones((self.num_images, self.num_nodes, 1))
        return self.matmul(ones)[..., 0].clamp_min(0)

    def to_dense(self) -> Tensor:
        """W itself, [B, n, n], for tests and for small images."""
        identity = torch.eye(self.num_nodes, dtype=self.sparse.dtype, device=self.sparse.device)
        return self.matmul(identity.expand(self.num_images, -1, -1))


def stacked(affinities: Sequence[Affinity]) -> Affinity:
    """Affinities of images of one size and one form as one; raises ValueError for others."""
    sizes = {affinity.num_nodes for affinity in affinities}
    kinds = {(a.factor is None, a.dense is None) for a in affinities}
    if len(sizes) != 1 or len(kinds) != 1:
        raise ValueError(
            f"affinities to stack must be of one size and kind, got sizes {sorted(sizes)} and "
            f"{len(kinds)} kinds"
        )
    starts: list[Tensor] = []
    columns: list[Tensor] = []
    num_rows = num_values = 0
    for sparse in (affinity.sparse for affinity in affinities):
        starts.append(sparse.crow_indices()[:-1].long() + num_values)
        columns.append(sparse.col_indices().long() + num_rows)
        num_rows += sparse.shape[0]
        num_values += len(sparse.values())
    crow = torch.cat([*starts, starts[0].new_tensor([num_values])])
    values = torch.cat([affinity.sparse.values() for affinity in affinities])
    factors = [a.factor for a in affinities if a.factor is not None]
    denses = [a.dense for a in affinities if a.dense is not None]
    return Affinity(
        factor=torch.cat(factors) if factors else None,
        dense=torch.cat(denses) if denses else None,
        sparse=csr(crow, torch.cat(columns), values, (num_rows, num_rows)),
        num_images=sum(affinity.num_images for affinity in affinities),
    )
