"""What a segmenter's folder says without its weights: read in an instant, and without torch.

SEGMENTER/config.json         of what ``raynef.models.saved`` describes; here K and the mapping
SEGMENTER/model.safetensors   the head
SEGMENTER/tree.json           its clusters as a tree, where there is one
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raynef.assign.tree import ClusterTree
from raynef.core.errors import UserError
from raynef.io.files import read_json, write_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FORMAT = 2
_READ = (1, FORMAT)  # 1 had ``zoom``: the same as backbone.input_size over data.crop
_TREE = "tree.json"


@dataclass(frozen=True)
class Mapping:
    """Clusters named by classes, fitted on labels by ``raynef evaluate``."""

    classes: tuple[int, ...]  # class of each cluster, K long; -1 for a cluster without one
    class_names: tuple[str, ...]  # C long


def segmenter_folder(path: str | Path) -> Path:
    """The folder with config.json, given a run or that folder itself. Raises UserError."""
    path = Path(path)
    for folder in (path / "segmenter", path):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    raise UserError(f"{path} holds no segmenter; raynef train --out {path} makes one")


def read_config(folder: Path) -> dict[str, Any]:
    """config.json as it is. Raises UserError: damaged, or of another format."""
    try:
        config = read_json(folder / CONFIG)
        version = config["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / CONFIG} is damaged: {error}") from error
    if version not in _READ:
        known = " and ".join(map(str, _READ))
        raise UserError(f"{folder} has format {version}, this raynef reads formats {known}")
    return config


def read_num_clusters(folder: Path) -> int:
    """K. Raises UserError: a damaged folder."""
    try:
        return int(read_config(folder)["num_eigenfunctions"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / CONFIG} is damaged: {error!r}") from error


def segmenter_identity(folder: Path) -> str:
    """What tells one segmenter's maps from another's: a hash of its weights, scale and tree.

    Names of clusters are left out.
    """
    config = {name: value for name, value in read_config(folder).items() if name != "mapping"}
    parts = [json.dumps(config, sort_keys=True).encode(), (folder / WEIGHTS).read_bytes()]
    if (folder / _TREE).is_file():
        parts.append((folder / _TREE).read_bytes())
    hashes = [hashlib.sha256(part).hexdigest() for part in parts]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


def save_mapping(path: str | Path, mapping: Mapping) -> None:
    """Set the mapping of a saved segmenter."""
    folder = segmenter_folder(path)
    write_json(folder / CONFIG, {**read_config(folder), "mapping": dataclasses.asdict(mapping)})


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


def cut_tree(tree: ClusterTree | None, num_clusters: int, count: int) -> np.ndarray:
    """The group of each of K clusters, int64 [K], where their tree leaves ``count`` groups.

    Raises:
        UserError: no tree, or a number that is not 1 to K.
    """
    if tree is None:
        raise UserError(
            "this segmenter has no tree over its clusters: it is supervised, or was trained "
            "on streamed features or by an older raynef"
        )
    if not 1 <= count <= num_clusters:
        raise UserError(f"{num_clusters} clusters make 1 to {num_clusters} groups, not {count}")
    return tree.cut(count)
