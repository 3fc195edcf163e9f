"""Attention of a frozen backbone in bfloat16 on a processor, as products of blocks.

torch's own kernel there works on small tiles with scores in float32, at a third of the rate of a
product in bfloat16. Products of blocks that the cache holds come close to that rate; scores are
then rounded to bfloat16, as is every other product of the network.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_BLOCK_ELEMENTS = 1 << 21  # scores held at once: 4 MB, and as many weights


class BlockAttention(TorchFunctionMode):
    """Within it torch's ``scaled_dot_product_attention`` is ``block_attention``.

    Of calls in bfloat16, or that autocast makes so, on the CPU, without a mask and without a
    gradient; others, and attention within functions of torch's own, stay as they are.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        if func is functional.scaled_dot_product_attention and _is_plain(*args, **options):
            query, key, value = (part.bfloat16() for part in args)
            return block_attention(query, key, value, scale=options.get("scale"))
        return func(*args, **options)


def _is_plain(
    *parts: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **others: Any,
) -> bool:
    """Whether a call of ``scaled_dot_product_attention`` asks for no more than it does here."""
    asks_more = attn_mask is not None or dropout_p or is_causal
    if len(parts) != 3 or asks_more or any(others.values()) or torch.is_grad_enabled():
        return False
    return all(
        part.device.type == "cpu"
        and part.ndim == 4
        and part.shape[:2] == parts[0].shape[:2]
        and (part.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu"))
        for part in parts
    )


def block_attention(
    query: Tensor, key: Tensor, value: Tensor, *, scale: float | None = None
) -> Tensor:
    """softmax(scale · q kᵀ) v, of q [B, heads, N, d], k [B, heads, M, d] and v [B, heads, M, e].

    A block is of as many heads as its scores allow, or of some of the queries of one head.

    Args:
        scale: None: 1/√d.

    Returns:
        [B, heads, N, e].
    """
    batch, heads, num_queries, dim = query.shape
    num_keys = key.shape[2]
    q, k, v = (
        part.flatten(0, 1) for part in (query * (dim**-0.5 if scale is None else scale), key, value)
    )
    rows = max(1, min(num_queries, _BLOCK_ELEMENTS // max(1, num_keys)))
    count = max(1, min(len(q), _BLOCK_ELEMENTS // max(1, rows * num_keys)))
    found = torch.empty((len(q), num_queries, v.shape[2]), dtype=q.dtype)
    scores, weights = torch.empty((2, count * rows * num_keys), dtype=q.dtype)
    for first in range(0, len(q), count):
        some = slice(first, first + count)
        for top in range(0, num_queries, rows):
            part = q[some, top : top + rows]
            shape = (*part.shape[:2], num_keys)
            score, weight = (held[: math.prod(shape)].view(shape) for held in (scores, weights))
            torch.bmm(part, k[some].transpose(1, 2), out=score)
            torch.softmax(score, dim=-1, out=weight)
            torch.bmm(weight, v[some], out=found[some, top : top + rows])
    return found.view(batch, heads, num_queries, -1)
