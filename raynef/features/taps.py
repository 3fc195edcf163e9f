"""Where a timm model's patch features are: its blocks, its grid, and its attention's keys.

Everything follows from the model's own ``feature_info``. Two plans are known:

* *isotropic* (ViT, DeiT, DINO, CLIP, EVA, BEiT, XCiT): every block has the same width and grid.
  The taps go over all blocks.
* *pyramid* (ResNet, ConvNeXt, Swin): stages of growing width and stride. The record holds taps of
  one width on one grid, so the taps go over the blocks of the last stage, which is also where
  Deep Spectral Methods take theirs ("last block", arXiv:2205.07839, Table 9). Nothing is pooled or
  padded; a last stage of two blocks gives its second block twice.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from raynef.core.errors import UserError

_MISFITS = (AssertionError, RuntimeError, ValueError, IndexError, TypeError)
"""What timm's models raise on images of a size that they do not take."""

Tap = Callable[[Callable[[Any], None]], RemovableHandle]
"""What hands a value of the next forward pass to a callback, until it is removed."""


class NoGridError(Exception):
    """What a model yields is no grid of patches, and why."""


@dataclass(frozen=True)
class Plan:
    """Where the taps of a model are.

    A pyramid's ``stage`` is that whose output is the last map where ``forward_features`` goes on to
    another width (the head convolution of EfficientNets).
    """

    blocks: tuple[nn.Module, ...]  # over which block 0 and block n/2 are counted
    stage: nn.Module | None  # None for isotropic models
    dim: int  # D, features of a patch
    patch_size: int  # P, pixels of a patch's side: the total stride of the grid
    num_prefix_tokens: int  # class, distillation and register tokens before the patches
    final_norm: nn.Module | None  # that the model itself applies after pooling (fc_norm)


def plan_of(model: Any, stage: int | None = None) -> Plan:
    """The plan of a timm model; of a pyramid, over the blocks of one stage, by default the last.

    Raises:
        NoGridError: it describes none, or no such stage.
    """
    stages = list(getattr(model, "feature_info", None) or [])
    if not stages:
        raise NoGridError("it describes no feature maps")
    try:
        modules = [model.get_submodule(stage["module"]) for stage in stages]
        sizes = [(int(stage["num_chs"]), int(stage["reduction"])) for stage in stages]
    except (AttributeError, KeyError) as error:
        raise NoGridError(f"its feature maps are no modules ({error})") from error
    isotropic = len(set(sizes)) == 1
    if stage is not None:
        if isotropic or not -len(stages) <= stage < len(stages):
            count = "no stages" if isotropic else f"stages 0 to {len(stages) - 1}"
            raise NoGridError(f"stage {stage} was asked for, but it has {count}")
        modules, sizes = [modules[stage]], [sizes[stage]]
    blocks = modules if isotropic else list(getattr(modules[-1], "blocks", modules[-1].children()))
    if len({type(block) for block in blocks}) != 1:  # the parts of a norm, or nothing at all
        raise NoGridError("its last feature map comes from no sequence of blocks")
    # Where fc_norm stands in for the final norm, the mean was normed; here each patch is. Without
    # it the few huge channels of a residual stream would decide every cosine.
    norm, fc_norm = getattr(model, "norm", None), getattr(model, "fc_norm", None)
    instead = not isinstance(fc_norm, nn.Identity) and isinstance(norm, nn.Identity)
    return Plan(
        blocks=tuple(blocks),
        stage=None if isotropic else modules[-1],
        dim=sizes[-1][0],
        patch_size=sizes[-1][1],
        num_prefix_tokens=int(getattr(model, "num_prefix_tokens", 0)),
        final_norm=fc_norm if instead else None,
    )


def as_tokens(output: Any, plan: Plan, *, batch: int, grid: tuple[int, int]) -> Tensor:
    """Patches [B, h·w, D], row-major, of what a module returned, on a grid (h, w).

    ``output``: tokens [B, prefix + h·w, D] or [B, h·w, D], or a map [B, D, h, w] or [B, h, w, D].

    Raises:
        NoGridError: any other shape.
    """
    if isinstance(output, tuple | list):
        output = output[0]
    if not isinstance(output, Tensor):
        raise NoGridError(f"it returns a {type(output).__name__}")
    height, width = grid
    shape, tokens = tuple(output.shape), height * width
    if shape == (batch, plan.dim, height, width):
        return output.flatten(2).transpose(1, 2)
    if shape == (batch, height, width, plan.dim):
        return output.flatten(1, 2)
    for num_prefix in (plan.num_prefix_tokens, 0):  # XCiT's class token joins after its blocks
        if shape == (batch, num_prefix + tokens, plan.dim):
            return output[:, num_prefix:]
    raise NoGridError(
        f"a grid of {height}x{width} patches with {plan.dim} features was expected, "
        f"got {list(shape[1:])}"
    )


def output_of(module: nn.Module) -> Tap:
    """What a module returns."""
    return lambda keep: module.register_forward_hook(lambda _m, _i, output: keep(output))


def projected(attention: Any, part: Literal["query", "key", "value"]) -> Tap | None:
    """Queries, keys or values of an attention, [B, tokens, D]; None where it has none.

    Heads side by side; those of the projection itself, before any norm or rotary embedding, as Deep
    Spectral Methods take them (arXiv:2205.07839).
    """
    qkv: Any = getattr(attention, "qkv", None)
    alone = getattr(attention, f"{part[0]}_proj", None)
    third = ("query", "key", "value").index(part)
    if not isinstance(alone, nn.Linear) and not isinstance(qkv, nn.Linear):
        return None

    def project(tokens: Tensor) -> Tensor:
        if isinstance(alone, nn.Linear):
            return alone(tokens)
        # Beit and EVA hold the biases apart, and never call their qkv layer itself.
        bias = getattr(attention, f"{part[0]}_bias", None)
        if qkv.bias is not None:
            bias = qkv.bias.chunk(3)[third]
        return functional.linear(tokens, qkv.weight.chunk(3)[third], bias)

    return lambda keep: attention.register_forward_pre_hook(
        lambda _m, inputs: keep(project(inputs[0]))
    )


def taps_of(plan: Plan, *, keys: bool) -> dict[str, Tap]:
    """Blocks 0 and n/2 as first and middle, a pyramid's stage, and the last block's keys.

    Raises:
        UserError: the last block has no keys.
    """
    blocks = plan.blocks
    taps = {"first": output_of(blocks[0]), "middle": output_of(blocks[len(blocks) // 2])}
    if plan.stage is not None:
        taps["stage"] = output_of(plan.stage)
    if keys:
        of_keys = projected(getattr(blocks[-1], "attn", None), "key")
        if of_keys is None:
            raise UserError(
                "backbone.tap keys: the last block of this backbone has no qkv or k_proj layer; "
                "use backbone.tap norm"
            )
        taps["keys"] = of_keys
    return taps


@contextlib.contextmanager
def recording(taps: dict[str, Tap]) -> Iterator[dict[str, Any]]:
    """What taps hand over in one forward pass within the block, by name.

    Of this thread's pass: others may run the same modules meanwhile. Raises NoGridError at its end
    where the model went another way than through these modules.
    """
    seen: dict[str, Any] = {}
    thread = threading.get_ident()

    def keep(name: str, value: Any) -> None:
        if threading.get_ident() == thread:
            seen[name] = value

    handles = [tap(partial(keep, name)) for name, tap in taps.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
    if not taps.keys() <= seen.keys():  # CoaT calls parts of blocks
        raise NoGridError("its features do not pass through the blocks that it describes")


def last_features(output: Any, seen: dict[str, Any], plan: Plan) -> Any:
    """What ``forward_features`` returned, normed; the last stage's where that is of another width.

    A head convolution (EfficientNet) widens the map after the last stage; the taps share one D.
    """
    sizes = tuple(output.shape) if isinstance(output, Tensor) else ()
    widths = (sizes[1], sizes[-1]) if len(sizes) == 4 else sizes[-1:]
    if plan.stage is not None and plan.dim not in widths:
        return seen["stage"]
    if plan.final_norm is not None and isinstance(output, Tensor):
        return plan.final_norm(output)
    return output


def check_plan(
    run: Callable[[Tensor], Tensor],
    plan: Plan,
    *,
    native: tuple[int, int],
    device: torch.device | None = None,
) -> None:
    """Run a small image that is not square through a backbone: what can fail, fails here.

    ``run``: images [B, 3, H, W] -> taps; ``native``: a (height, width) that the model surely takes.

    Raises:
        NoGridError: images of a fixed size only, or something else than patches.
    """
    height, width = 3 * plan.patch_size, 5 * plan.patch_size
    try:
        run(torch.zeros(1, 3, height, width, device=device))
    except UserError:  # a ValueError too, but it says what it is
        raise
    except _MISFITS as error:
        try:
            run(torch.zeros(1, 3, *native, device=device))
        except _MISFITS:
            raise NoGridError(f"it fails on images of {height}x{width} ({error})") from error
        raise NoGridError(
            f"it takes images of {native[0]}x{native[1]} but not of other sizes such as "
            f"{height}x{width} ({error})"
        ) from error
