"""The folder of a saved segmenter: config.json, the weights, and a backbone from a local file.

What is read of it without the weights is in ``raynef.models.folder``."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import UserError
from raynef.core.unfilled import unfilled
from raynef.eigen.conv_psi import ConvPsi
from raynef.eigen.psi import AttentionPsi, Psi
from raynef.features.backbone import NUM_TAPS
from raynef.features.weights import load_exactly, read_state, resolve_weights, weights_identity
from raynef.io.files import write_atomic, write_json
from raynef.models.extension import Extension
from raynef.models.folder import (
    CONFIG,
    FORMAT,
    WEIGHTS,
    Mapping,
    read_config,
    segmenter_folder,
)
from raynef.models.heads import LinearHead, trunk_of

_BACKBONE = "backbone.safetensors"


@dataclass(frozen=True)
class Landmarks:
    """What config.json says of an ``Extension``, under the names of its arguments."""

    count: int  # L
    num_neighbors: int
    context: float


def saved_landmarks(extension: Extension) -> Landmarks:
    """Of an extension."""
    return Landmarks(len(extension.landmarks), extension.num_neighbors, extension.context)


@dataclass(frozen=True)
class SavedSegmenter:
    """What config.json says of a segmenter, under the names of ``Segmenter``'s arguments."""

    backbone: BackboneConfig
    num_clusters: int  # K
    linear: bool  # the head is a linear one, not ψ itself
    num_blocks: int  # of ψ, or of the linear head's trunk; 0 where that has none
    network: str  # of ψ or that trunk, as eigen.network
    cosine: bool  # the linear head's
    context: float  # likewise
    landmarks: Landmarks | None  # where the linear head's trunk is no ψ but their extension
    short_side: int
    mapping: Mapping | None
    supervised: bool
    labels_leaked: bool
    captions: bool = False
    tau: float | None = None

    def empty_head(self, dim: int, num_taps: int) -> Psi | LinearHead:
        """The head, without its weights, for taps of a width."""
        if self.landmarks is not None:
            return self._extended(dim, self.landmarks)
        if not self.num_blocks:
            return self._linear(dim, None)
        in_dim = num_taps * dim
        shape: dict[str, Any] = {"num_blocks": self.num_blocks, "orthogonal_head": False}
        if self.network == "convolution":
            psi = ConvPsi(in_dim, self.num_clusters, num_taps=num_taps, **shape)
        else:
            psi = AttentionPsi(in_dim, self.num_clusters, **shape)
        return self._linear(psi.head.in_features, trunk_of(psi)) if self.linear else psi

    def _linear(self, dim: int, trunk: Psi | None) -> LinearHead:
        width = 2 * dim if self.context else dim
        settings: dict[str, Any] = {"cosine": self.cosine, "context": self.context}
        return LinearHead(width, self.num_clusters, trunk=trunk, **settings)

    def _extended(self, dim: int, landmarks: Landmarks) -> LinearHead:
        width = 2 * dim if landmarks.context else dim
        extension = Extension(
            torch.empty(landmarks.count, width),
            torch.empty(landmarks.count, self.num_clusters),
            num_neighbors=landmarks.num_neighbors,
            context=landmarks.context,
        )
        return LinearHead(self.num_clusters, self.num_clusters, trunk=extension)

    def write(self, folder: Path, head: Psi | LinearHead) -> None:
        """Write config.json and the head; backbone weights from a local file go along."""
        folder.mkdir(parents=True, exist_ok=True)
        _save_tensors(head.state_dict(), folder / WEIGHTS)
        source = resolve_weights(self.backbone)
        backbone = dataclasses.asdict(self.backbone)
        if source is not None and backbone["weights"] not in (None, "bundled"):
            _save_tensors(read_state(source), folder / _BACKBONE)
            backbone["weights"] = _BACKBONE
        write_json(
            folder / CONFIG,
            {
                "format": FORMAT,
                "backbone": backbone,
                "backbone_weights": weights_identity(self.backbone),
                "num_eigenfunctions": self.num_clusters,
                "head": "linear" if self.linear else "psi",
                "num_blocks": self.num_blocks,
                **({"network": self.network} if self.network else {}),
                **({"cosine": self.cosine} if self.linear else {}),
                **({"context": self.context} if self.context else {}),
                **({"landmarks": dataclasses.asdict(self.landmarks)} if self.landmarks else {}),
                "short_side": self.short_side,
                "supervised": self.supervised,
                "labels_leaked": self.labels_leaked,
                **({"captions": True} if self.captions else {}),
                **({} if self.tau is None else {"tau": self.tau}),
                "mapping": dataclasses.asdict(self.mapping) if self.mapping else None,
            },
        )


def read_saved(folder: Path) -> SavedSegmenter:
    """What a segmenter's folder says, with the backbone's weights as a path or a name.

    Raises:
        UserError: it is damaged, of another format, or of other backbone weights than are here.
    """
    config = read_config(folder)
    try:
        backbone = BackboneConfig(**config["backbone"])
        kind = config.get("head", "psi")
        if config.get("network", "attention") not in ("attention", "convolution"):
            raise ValueError(f"network {config['network']!r}")
        if kind not in ("psi", "linear"):
            raise ValueError(f"head {kind!r}")
        if config.get("zoom", 1.0) != 1.0 and backbone.input_size is None:
            raise ValueError(f"zoom {config['zoom']!r} without backbone.input_size")
        num_clusters, mapping = int(config["num_eigenfunctions"]), config["mapping"]
        if mapping is not None:
            mapping = Mapping(tuple(mapping["classes"]), tuple(mapping["class_names"]))
            if len(mapping.classes) != num_clusters:
                raise ValueError(f"{len(mapping.classes)} clusters mapped of {num_clusters}")
        saved = SavedSegmenter(
            backbone=backbone,
            num_clusters=num_clusters,
            linear=kind == "linear",
            num_blocks=int(config["num_blocks"]),
            network=str(config.get("network", "attention")),
            cosine=bool(config.get("cosine", False)),
            context=float(config.get("context", 0.0)),
            landmarks=Landmarks(**config["landmarks"]) if "landmarks" in config else None,
            short_side=int(config["short_side"]),
            mapping=mapping,
            supervised=bool(config.get("supervised", False)),
            labels_leaked=bool(config.get("labels_leaked", False)),
            captions=bool(config.get("captions", False)),
            tau=float(config["tau"]) if "tau" in config else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / CONFIG} is damaged: {error!r}") from error
    if backbone.weights == _BACKBONE:
        beside = dataclasses.replace(backbone, weights=str((folder / _BACKBONE).absolute()))
        return dataclasses.replace(saved, backbone=beside)
    if weights_identity(backbone) != config["backbone_weights"]:
        raise UserError(
            f"{folder} was trained on other weights of {backbone.name} than this raynef has; "
            "train it again, or use the raynef that made it"
        )
    return saved


def load_head(
    path: str | Path, *, dim: int, device: torch.device | str = "cpu"
) -> Psi | LinearHead:
    """What makes clusters of features, of a segmenter whose backbone is not needed.

    Args:
        path: as of ``Segmenter.load``.
        dim: D, features of a patch in a tap.

    Raises:
        UserError: as of ``Segmenter.load``, or the head is of features of another width.
    """
    folder = segmenter_folder(path)
    return head_of(folder, read_saved(folder), dim).eval().to(device)


def head_of(folder: Path, saved: SavedSegmenter, dim: int) -> Psi | LinearHead:
    """The head in a segmenter's folder. Errors as of ``load_head``."""
    weights = folder / WEIGHTS
    with unfilled():
        head = saved.empty_head(dim, NUM_TAPS)
    load_exactly(head, read_state(weights), f"{weights} does not fit its config.json")
    return head


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save = safetensors.torch.save_file  # pyright: ignore
    write_atomic(path, lambda temporary: save(state, temporary))
