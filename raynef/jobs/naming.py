"""Names for clusters, by a person: ``raynef name``. See ``raynef.jobs.text_names`` for texts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raynef.assign.tree import ClusterTree
from raynef.core.errors import UserError
from raynef.features.clip import CAPTIONS
from raynef.models.folder import cut_tree, read_num_clusters, read_tree, segmenter_folder
from raynef.models.names import Names, change_names, read_names


def name_clusters(
    run: str | Path, changes: Mapping[int, str | None], *, cut: int | None = None
) -> dict[str, Any]:
    """Name clusters, or groups of them; the result of ``raynef name``.

    Args:
        run: its folder, or a segmenter's.
        changes: names by cluster; None or "" takes a name away.
        cut: the numbers are those of groups, of the clusters merged into so many; a name goes to
            all clusters of its group.

    Returns:
        ``names`` of all clusters that have one, and ``named``: the share of the training patches
        that lie in them, but for those that are ``unsure``; None without a tree. ``by_text``, where
        there are such: the clusters whose names no person gave, by the model that proposed them.

    Raises:
        UserError: no segmenter, no such cluster or group, or a name that cannot stand in a table.
    """
    folder = segmenter_folder(run)
    num_clusters = read_num_clusters(folder)
    tree = read_tree(folder, num_clusters)
    if cut is not None:
        changes = _of_members(cut_tree(tree, num_clusters, cut), changes)
    if changes:
        names = change_names(folder, num_clusters, changes)
    else:
        names = read_names(folder, num_clusters)
    return {
        "run": str(Path(run).absolute()),
        "num_clusters": num_clusters,
        "named": _share(tree, names),
        "names": {str(cluster): name for cluster, name in sorted(names.names.items())},
        **_by_text(names),
    }


def _by_text(names: Names) -> dict[str, Any]:
    if not names.sources:
        return {}
    models: dict[str, list[int]] = {}
    for cluster, source in sorted(names.sources.items()):
        models.setdefault(source, []).append(cluster)
    return {"by_text": {"models": models, "note": CAPTIONS}}


def _of_members(groups: np.ndarray, changes: Mapping[int, str | None]) -> dict[int, str | None]:
    """Changes of groups as changes of the clusters in them."""
    count = int(groups.max()) + 1
    beyond = [group for group in changes if not 0 <= group < count]
    if beyond:
        raise UserError(f"name: there is no group {beyond[0]}; there are 0 to {count - 1}")
    return {k: changes[group] for k, group in enumerate(groups.tolist()) if group in changes}


def _share(tree: ClusterTree | None, names: Names) -> float | None:
    if tree is None:
        return None
    return round(float(tree.sizes[names.settled()].sum() / max(1, tree.sizes.sum())), 4)
