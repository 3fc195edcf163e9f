"""Names for clusters, by a person: ``raynef name``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raynef.core.errors import UserError
from raynef.models.names import Names, change_names
from raynef.models.segmenter import Segmenter, segmenter_folder


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
        that lie in them, None without a tree.

    Raises:
        UserError: no segmenter, no such cluster or group, or a name that cannot stand in a table.
    """
    folder = segmenter_folder(run)
    segmenter = Segmenter.load(folder)
    if cut is not None:
        changes = _of_members(segmenter.cut(cut), changes)
    names = change_names(folder, segmenter.num_clusters, changes) if changes else segmenter.names
    return {
        "run": str(Path(run).absolute()),
        "num_clusters": segmenter.num_clusters,
        "named": _share(segmenter, names),
        "names": {str(cluster): name for cluster, name in sorted(names.names.items())},
    }


def _of_members(groups: np.ndarray, changes: Mapping[int, str | None]) -> dict[int, str | None]:
    """Changes of groups as changes of the clusters in them."""
    count = int(groups.max()) + 1
    beyond = [group for group in changes if not 0 <= group < count]
    if beyond:
        raise UserError(f"name: there is no group {beyond[0]}; there are 0 to {count - 1}")
    return {k: changes[group] for k, group in enumerate(groups.tolist()) if group in changes}


def _share(segmenter: Segmenter, names: Names) -> float | None:
    if segmenter.tree is None:
        return None
    sizes = segmenter.tree.sizes
    return round(float(sizes[list(names.names)].sum() / max(1, sizes.sum())), 4)
