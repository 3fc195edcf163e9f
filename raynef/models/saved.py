"""The folder of a saved segmenter: config.json, the weights, and a backbone from a local file.

Beside them, where there are any, tree.json: the clusters as a tree."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from raynef.assign.tree import ClusterTree
from raynef.config.recipe import Backbone as BackboneConfig
from raynef.core.errors import UserError
from raynef.eigen.conv_psi import ConvPsi
from raynef.eigen.psi import AttentionPsi, Psi
from raynef.features.weights import read_state, resolve_weights, weights_identity
from raynef.io.files import read_json, write_atomic, write_json
from raynef.models.extension import Extension
from raynef.models.heads import LinearHead, trunk_of

_FORMAT = 2
_READ = (1, 2)  # format 1 had ``zoom``, which said the same as backbone.input_size over data.crop
_CONFIG, WEIGHTS, _BACKBONE = "config.json", "model.safetensors", "backbone.safetensors"
_TREE = "tree.json"


@dataclass(frozen=True)
class Mapping:
    """Clusters named by classes, fitted on labels by ``raynef evaluate``."""

    classes: tuple[int, ...]  # class of each cluster, K long; -1 for a cluster without one
    class_names: tuple[str, ...]  # C long


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
            folder / _CONFIG,
            {
                "format": _FORMAT,
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
                "mapping": dataclasses.asdict(self.mapping) if self.mapping else None,
            },
        )


def read_saved(folder: Path) -> SavedSegmenter:
    """What a segmenter's folder says, with the backbone's weights as a path or a name.

    Raises:
        UserError: it is damaged, of another format, or of other backbone weights than are here.
    """
    config = _read_config(folder)
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
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / _CONFIG} is damaged: {error!r}") from error
    if backbone.weights == _BACKBONE:
        beside = dataclasses.replace(backbone, weights=str((folder / _BACKBONE).absolute()))
        return dataclasses.replace(saved, backbone=beside)
    if weights_identity(backbone) != config["backbone_weights"]:
        raise UserError(
            f"{folder} was trained on other weights of {backbone.name} than this raynef has; "
            "train it again, or use the raynef that made it"
        )
    return saved


def segmenter_folder(path: str | Path) -> Path:
    """The folder with config.json, given a run or that folder itself. Raises UserError."""
    path = Path(path)
    for folder in (path / "segmenter", path):
        if (folder / _CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    raise UserError(f"{path} holds no segmenter; raynef train --out {path} makes one")


def save_mapping(path: str | Path, mapping: Mapping) -> None:
    """Set the mapping of a saved segmenter."""
    folder = segmenter_folder(path)
    write_json(folder / _CONFIG, {**_read_config(folder), "mapping": dataclasses.asdict(mapping)})


def save_tree(path: str | Path, tree: ClusterTree | None) -> None:
    """Set the tree of a saved segmenter, or that it has none."""
    file = segmenter_folder(path) / _TREE
    if tree is None:
        file.unlink(missing_ok=True)
    else:
        write_json(file, tree.plain())


def read_tree(folder: Path, num_clusters: int) -> ClusterTree | None:
    """The tree over the clusters of the segmenter in a folder; None where it has none.

    Raises:
        UserError: it is damaged, or of another number of clusters.
    """
    path = folder / _TREE
    if not path.is_file():
        return None
    try:
        tree = ClusterTree.of_plain(read_json(path))
        if tree.num_clusters != num_clusters:
            raise ValueError(f"{tree.num_clusters} clusters, the segmenter has {num_clusters}")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    return tree


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save = safetensors.torch.save_file  # pyright: ignore
    write_atomic(path, lambda temporary: save(state, temporary))


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = read_json(folder / _CONFIG)
        version = config["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / _CONFIG} is damaged: {error}") from error
    if version not in _READ:
        known = " and ".join(map(str, _READ))
        raise UserError(f"{folder} has format {version}, this raynef reads formats {known}")
    return config
