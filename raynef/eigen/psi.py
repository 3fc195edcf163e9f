"""ψ, and the paper's: transformer blocks with linear attention, an orthogonal head (Sec. 4.1)."""

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from raynef.core.draws import torch_seeded
from raynef.eigen.orthogonal import keep_orthonormal


class LinearAttention(nn.Module):
    """Self-attention linear in the number of patches.

    softmax over q's channels and over k's positions, as the published code; the paper cites the
    elu + 1 feature map. q, k and v have no bias.
    """

    def __init__(self, dim: int, *, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = head_dim**-0.5
        self.qkv = nn.Linear(dim, 3 * num_heads * head_dim, bias=False)
        self.proj = nn.Linear(num_heads * head_dim, dim)

    def forward(self, tokens: Tensor, valid: Tensor | None) -> Tensor:
        """tokens [B, h·w, dim], valid [B, h·w] (False: padding, attended by none) -> tokens."""
        batch, length, _ = tokens.shape
        q, k, v = self.qkv(tokens).view(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q = q.softmax(dim=-1) * self.scale
        if valid is not None:
            k = k.masked_fill(~valid[:, None, :, None], -torch.inf)
        k = k.softmax(dim=-2)
        context = k.transpose(-1, -2) @ v  # [B, heads, head_dim, head_dim]
        return self.proj((q @ context).transpose(1, 2).reshape(batch, length, -1))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, dim: int, *, num_heads: int, head_dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(dim)
        self.attention = LinearAttention(dim, num_heads=num_heads, head_dim=head_dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_dim), nn.GELU(), nn.Linear(mlp_dim, dim))

    def forward(self, tokens: Tensor, valid: Tensor | None) -> Tensor:
        tokens = tokens + self.attention(self.norm_attention(tokens), valid)
        return tokens + self.mlp(self.norm_mlp(tokens))


class Psi(nn.Module, ABC):
    """Neural eigenfunctions: backbone taps to features of each patch, then a linear head.

    Attributes:
        network: its name, as ``eigen.network``.
        in_dim: T·D, what it sees of a patch.
    """

    network: ClassVar[str]
    in_dim: int
    blocks: nn.ModuleList
    norm: nn.LayerNorm
    head: nn.Linear

    @abstractmethod
    def features(
        self, taps: Tensor, valid: Tensor | None = None, grid: tuple[int, int] | None = None
    ) -> Tensor:
        """What precedes the head: taps [B, T, h·w, D], valid [B, h·w] -> [B, h·w, width].

        ``valid`` is False on padding; ``grid`` is (h, w), None for a square one as training views
        have.
        """

    def forward(
        self, taps: Tensor, valid: Tensor | None = None, grid: tuple[int, int] | None = None
    ) -> Tensor:
        """Logits [B, h·w, K]; the arguments are those of ``features``."""
        return self.head(self.features(taps, valid, grid))

    def plain(self) -> Self:
        """Fix the head's weight as it is, in place: training is over, and making an orthogonal
        matrix of its parameters at every forward pass costs more than the head itself."""
        if parametrize.is_parametrized(self.head):
            parametrize.remove_parametrizations(self.head, "weight")
            # In memory as it will be when it is loaded: rounding follows the layout.
            self.head.weight = nn.Parameter(self.head.weight.detach().contiguous())
        return self


class AttentionPsi(Psi):
    """The paper's ψ: transformer blocks with linear attention, as wide as all taps together.

    The weight of the head is kept orthogonal (plain where K exceeds the input's dimension, or where
    ``orthogonal_head`` is False: what is saved has a plain one). The initial weights follow from
    ``seed`` alone.
    """

    network = "attention"

    def __init__(
        self,
        in_dim: int,
        num_eigenfunctions: int,
        *,
        num_blocks: int = 2,
        num_heads: int = 18,
        head_dim: int = 64,
        mlp_dim: int = 576,
        seed: int = 0,
        orthogonal_head: bool = True,
    ) -> None:
        super().__init__()
        self.in_dim = in_dim
        with torch_seeded("psi", seed):
            self.blocks = nn.ModuleList(
                Block(in_dim, num_heads=num_heads, head_dim=head_dim, mlp_dim=mlp_dim)
                for _ in range(num_blocks)
            )
            self.norm = nn.LayerNorm(in_dim)
            self.head = nn.Linear(in_dim, num_eigenfunctions)
            self.apply(_initialize)
            if orthogonal_head and num_eigenfunctions <= in_dim:
                keep_orthonormal(self.head)

    def features(
        self, taps: Tensor, valid: Tensor | None = None, grid: tuple[int, int] | None = None
    ) -> Tensor:
        """As of ``Psi``, T·D wide; attention needs no grid."""
        batch, _, length, _ = taps.shape
        tokens = taps.transpose(1, 2).reshape(batch, length, -1)
        if valid is not None:
            # An image without one valid patch has no row in the loss; unmask it, or softmax gives
            # NaN.
            valid = valid | ~valid.any(dim=1, keepdim=True)
        for block in self.blocks:
            tokens = block(tokens, valid)
        return self.norm(tokens)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        for name, parameter in module.named_parameters(recurse=False):
            if name == "weight":
                nn.init.trunc_normal_(parameter, std=0.02)
            else:
                nn.init.zeros_(parameter)
