"""Weights from a local file, the hub or the bundle: tensors only, never a pickle."""

import hashlib
import sys
from importlib import resources
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from raynef.core.errors import UserError
from raynef.core.recipe import BUNDLED_BACKBONE, Backbone

_CLASSIFIERS = ("head.", "head_dist.", "fc.", "classifier.", "fc_norm.")


def bundled_file() -> Path:
    """The weights of the bundled backbone, half precision."""
    return (
        Path(str(resources.files("raynef.features")))
        / "bundled"
        / f"{BUNDLED_BACKBONE}.safetensors"
    )


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
    """Tensors by name from a .safetensors, or a .pt/.pth/.bin read with ``weights_only``."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # readers of damaged files raise anything: IndexError, KeyError…
        raise UserError(f"weights {path} cannot be read as tensors only: {error}") from error
    for key in ("state_dict", "model", "teacher", "state_dict_ema"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"weights {path} hold no dictionary of tensors")
    return state


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a file strictly into a timm model without its classifier; half becomes float32.

    Names and shapes of other releases are mapped by timm's own filter for the model's family.

    Raises:
        UserError: tensors that are missing, surplus or of another shape, named.
    """
    state = {name: tensor.float() for name, tensor in read_state(path).items()}
    to_timm = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    wanted = model.state_dict()
    try:
        if to_timm is not None:
            state = to_timm(state, model)
        state = {
            name: tensor
            for name, tensor in state.items()
            if name in wanted or not name.startswith(_CLASSIFIERS)
        }
        model.load_state_dict(state, strict=True)
    except Exception as error:  # timm's filter meets tensors of another model with any error
        raise UserError(f"weights {path} do not fit the backbone: {error}") from error
