"""What follows the backbone in a segmenter that is not ψ itself: one linear layer on features.

K-means is such a head: of centers c, 2c·h − ‖c‖² differs from −‖h − c‖² by a term that all clusters
share, so the argmax is the same, also after bilinear upsampling. So is a linear probe.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from raynef.assign.context import in_context
from raynef.eigen.psi import Psi
from raynef.models.extension import Extension


class LinearHead(nn.Module):
    """Taps to logits: features of a source, then one linear layer.

    Args:
        in_dim: of a feature vector; D, or T·D with a trunk.
        num_out: K clusters, or C classes.
        trunk: ψ, whose features before its own head are the source, or the extension of a graph's
            eigenvectors; None for the backbone's last.
        cosine: bring features to unit length first.
        context: weight of the image's mean feature beside each patch's, both at unit length;
            ``in_dim`` is then twice as large. 0: patches alone.
    """

    def __init__(
        self,
        in_dim: int,
        num_out: int,
        *,
        trunk: Psi | Extension | None = None,
        cosine: bool = False,
        context: float = 0.0,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.cosine = cosine
        self.context = context
        self.head = nn.Linear(in_dim, num_out)

    def features(
        self, taps: Tensor, valid: Tensor | None = None, grid: tuple[int, int] | None = None
    ) -> Tensor:
        """What the linear layer sees: taps [B, T, h·w, D] -> float32 [B, h·w, in_dim]."""
        features = taps[:, -1] if self.trunk is None else self.trunk.features(taps, valid, grid)
        features = features.float()
        if self.context:
            return in_context(features, valid, self.context)
        return functional.normalize(features, dim=-1) if self.cosine else features

    def forward(
        self, taps: Tensor, valid: Tensor | None = None, grid: tuple[int, int] | None = None
    ) -> Tensor:
        """Logits [B, h·w, K]; ``valid`` [B, h·w] is False on padding, ``grid`` is (h, w)."""
        features = self.features(taps, valid, grid)
        # ‖c‖² is large beside the differences that decide: never in half precision.
        with torch.autocast(taps.device.type, enabled=False):
            return self.head(features)


def from_centroids(
    centroids: Tensor,
    *,
    trunk: Psi | Extension | None = None,
    cosine: bool = False,
    context: float = 0.0,
) -> LinearHead:
    """The head whose argmax is the nearest of the centroids [K, in_dim]."""
    size = (centroids.shape[1], len(centroids))
    head = LinearHead(*size, trunk=trunk, cosine=cosine, context=context)
    with torch.no_grad():
        head.head.weight.copy_(2 * centroids)
        head.head.bias.copy_(-centroids.square().sum(dim=1))
    return head


def first_outputs(psi: Psi, count: int) -> Psi:
    """ψ with the first ``count`` outputs of its head, all others dropped; in place."""
    head = psi.plain().head
    if head.out_features > count:
        psi.head = nn.Linear(head.in_features, count)
        with torch.no_grad():
            psi.head.weight.copy_(head.weight[:count])
            psi.head.bias.copy_(head.bias[:count])
    return psi


def trunk_of(psi: Psi) -> Psi:
    """A copy of ψ without its own head: only ``features`` is of use."""
    trunk = copy.deepcopy(psi)
    if hasattr(trunk, "head"):
        del trunk.head
    return trunk.eval().requires_grad_(False)
