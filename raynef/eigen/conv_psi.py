"""ψ of depthwise convolutions: narrower than the paper's, and it sees where a patch lies."""

import math

import torch
from torch import Tensor, nn

from raynef.core.draws import torch_seeded
from raynef.eigen.orthogonal import keep_orthonormal
from raynef.eigen.psi import Psi


class ConvBlock(nn.Module):
    """x + g · MLP(norm(depthwise 5×5 of x)), on [B, h, w, D]; g, one number a channel, learns."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(dim, dim, 5, padding=2, groups=dim, padding_mode="replicate")
        self.mlp = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )
        self.gain = nn.Parameter(torch.full((dim,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix(x.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)
        return x + self.gain * self.mlp(mixed)


class ConvPsi(Psi):
    """Backbone taps to K logits a patch, through features as wide as one tap.

    Each tap is normed, the T of them are joined and projected to D, and the projected mean of the
    image's last features is added; then ``num_blocks`` blocks that mix neighbors, a norm and a
    linear head. The initial weights follow from ``seed`` alone.
    """

    network = "convolution"

    def __init__(
        self,
        in_dim: int,
        num_eigenfunctions: int,
        *,
        num_taps: int,
        num_blocks: int = 2,
        seed: int = 0,
        orthogonal_head: bool = True,
    ) -> None:
        super().__init__()
        self.in_dim, dim = in_dim, in_dim // num_taps
        with torch_seeded("psi", seed):
            self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_taps))
            self.taps, self.image = nn.Linear(in_dim, dim), nn.Linear(dim, dim)
            self.blocks = nn.ModuleList(ConvBlock(dim) for _ in range(num_blocks))
            self.norm = nn.LayerNorm(dim)
            self.head = nn.Linear(dim, num_eigenfunctions)
            if orthogonal_head and num_eigenfunctions <= dim:
                keep_orthonormal(self.head)

    def features(
        self, taps: Tensor, valid: Tensor | None = None, grid: tuple[int, int] | None = None
    ) -> Tensor:
        """As of ``Psi``, D wide."""
        batch, _, length, _ = taps.shape
        height, width = grid or (math.isqrt(length), math.isqrt(length))
        normed = [norm(tap) for norm, tap in zip(self.norms, taps.unbind(1), strict=True)]
        tokens = self.taps(torch.cat(normed, dim=-1))
        if valid is None:
            image = normed[-1].mean(dim=1, keepdim=True)
        else:
            held = valid[..., None].to(tokens.dtype)
            image = (normed[-1] * held).sum(dim=1, keepdim=True)
            image = image / held.sum(dim=1, keepdim=True).clamp_min(1)
            tokens = tokens * held
        tokens = (tokens + self.image(image)).view(batch, height, width, -1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens).flatten(1, 2)
