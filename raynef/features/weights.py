"""Weights from a local file, the hub or the bundle: tensors only, never a pickle."""

import argparse
import contextlib
import hashlib
import inspect
import sys
from importlib import resources
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from raynef.config.recipe import BUNDLED_BACKBONE, Backbone
from raynef.core.errors import UserError

_CLASSIFIERS = ("head.", "head_dist.", "fc.", "classifier.", "fc_norm.")
_WRAPPERS = ("module.", "backbone.", "encoder_q.", "base_encoder.")
"""What training scripts put before a model's names: data parallelism, DINO and DINOv2, MoCo v1 and
v2, MoCo v3."""


def bundled_file() -> Path:
    """The weights of the bundled backbone, half precision."""
    folder = Path(str(resources.files("raynef.features"))) / "bundled"
    return folder / f"{BUNDLED_BACKBONE}.safetensors"


def resolve_weights(config: Backbone) -> Path | None:
    """The file that the recipe names, or None for the hub.

    Raises:
        UserError: no such file, or 'bundled' for a backbone that is not in the bundle.
    """
    weights = config.weights or ("bundled" if config.name == BUNDLED_BACKBONE else "hub")
    if weights == "hub":
        if config.name == BUNDLED_BACKBONE:
            raise UserError(f"backbone {BUNDLED_BACKBONE} is bundled, not on the hub")
        return None
    if weights == "bundled":
        if config.name != BUNDLED_BACKBONE:
            raise UserError(
                f"backbone.weights 'bundled' holds {BUNDLED_BACKBONE} only, not {config.name}; "
                "give a .safetensors or .pt file, or 'hub'"
            )
        return bundled_file()
    path = Path(weights)
    if not path.is_file():
        raise UserError(f"backbone.weights {weights!r} is neither a file nor 'hub' nor 'bundled'")
    return path.absolute()


def weights_identity(config: Backbone) -> str:
    """What tells one set of weights from another: the file's hash, or 'hub'."""
    path = resolve_weights(config)
    if path is None:
        return "hub"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors, or a .pt/.pth/.bin read with ``weights_only``.

    Checkpoints of a training come down to their weights, DINO's to its teacher's.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        # DINO's checkpoints hold the arguments of their training: a Namespace runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # readers of damaged files raise anything: IndexError, KeyError…
        raise UserError(f"weights {path} cannot be read as tensors only: {error}") from error
    for key in ("state_dict", "model", "teacher", "state_dict_ema"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"weights {path} hold no dictionary of tensors")
    return state


def load_weights(model: nn.Module, path: Path, *, name: str = "the backbone") -> None:
    """Load a file strictly into a timm model without its classifier; half becomes float32.

    Names and shapes of the original releases (DINO, DINOv2, DINOv3, OpenAI's CLIP, DeiT, XCiT,
    ConvNeXt) are mapped by timm's own filter for the model's family.

    Raises:
        UserError: tensors that are missing, surplus or of another shape: the first of each kind.
    """
    state = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in read_state(path).items()
    }
    wanted = model.state_dict()
    try:
        state = {
            name: tensor
            for name, tensor in _as_timm(_unwrapped(state, wanted), model).items()
            if name in wanted or not name.startswith(_CLASSIFIERS)
        }
    except Exception as error:  # timm's filter meets tensors of another model with any error
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"weights {path} do not fit {name}: {reason}") from error
    load_exactly(model, state, f"weights {path} do not fit {name}")


def load_exactly(module: nn.Module, state: dict[str, Tensor], refusal: str) -> None:
    """Load tensors that are the module's own, by name and shape.

    Raises:
        UserError: ``refusal``, then in one line the first tensor of another size, the first that is
            missing and the first that is unknown, and how many more.
    """
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:  # which lists every tensor
        raise UserError(f"{refusal}: {_misfit(module.state_dict(), state) or error}") from error


def _misfit(wanted: dict[str, Tensor], state: dict[str, Tensor]) -> str:
    """What differs, in one line: the first of each kind, and how many more."""
    kinds = {
        "of another size": [
            f"{name} is {list(state[name].shape)} in the file, {list(tensor.shape)} in the model"
            for name, tensor in wanted.items()
            if name in state and state[name].shape != tensor.shape
        ],
        "missing": [
            f"{name} is missing"
            for name in wanted
            if name not in state and not name.endswith(".num_batches_tracked")  # older files
        ],
        "unknown": [f"{name} is unknown to the model" for name in state if name not in wanted],
    }
    return "; ".join(
        names[0] + (f" ({len(names) - 1} more {kind})" if len(names) > 1 else "")
        for kind, names in kinds.items()
        if names
    )


def _unwrapped(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors below what a training script put before their names, and no other's."""
    for prefix in _WRAPPERS:
        below = {name[len(prefix) :]: t for name, t in state.items() if name.startswith(prefix)}
        if below and not any(name.startswith(prefix) for name in wanted):
            state = below
    return state


def _as_timm(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The tensors by timm's names and in its shapes."""
    to_timm = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if to_timm is None:
        return state
    options = {}
    if "adapt_layer_scale" in inspect.signature(to_timm).parameters:
        options["adapt_layer_scale"] = True  # gamma_1, as DeiT III's release has it
    with contextlib.redirect_stdout(sys.stderr):  # it prints; stdout is for results
        return to_timm(state, model, **options)
