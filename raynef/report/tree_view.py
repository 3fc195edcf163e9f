"""The tree over a run's clusters: a strip of all of them below it, and its groups as lists.

Places in the strip are in drawing units, of which it is 1000 wide.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from raynef.assign.tree import ClusterTree

WIDE, TALL, STRIP = 1000, 64, 16
"""Of the strip's drawing: across, of the tree, and of the clusters below it."""
BRANCH, ROW = 44, 26
"""Of a group's own tree: across, and for each of its clusters."""
MAX_GROUPS = 12


@dataclass(frozen=True)
class Leaf:
    """A cluster: its name if any, its share of the training patches, and its place."""

    cluster: int
    name: str | None
    share: float
    start: float
    width: float


@dataclass(frozen=True)
class Group:
    """Clusters that ``raynef name --cut`` takes as one.

    Attributes:
        number: of the cut; 0 is the largest.
        share: of the training patches, 0 to 1.
        names: of its clusters, each once.
        path: its own tree, as the d of an SVG path; its leaves are ``ROW`` apart.
    """

    number: int
    share: float
    names: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    path: str


@dataclass(frozen=True)
class TreeView:
    """A tree that is ready to be drawn: the path above the strip, and the groups in its order."""

    path: str
    groups: tuple[Group, ...]


def tree_view(tree: ClusterTree, names: Mapping[int, str]) -> TreeView:
    """Of a tree, with the names of some clusters."""
    order = tree.leaves(tree.sizes).tolist()
    total, end = max(1, int(tree.sizes.sum())), 0.0
    leaves: dict[int, Leaf] = {}
    for k in order:
        share = int(tree.sizes[k]) / total
        leaves[k] = Leaf(k, names.get(k), share, end, WIDE * share)
        end += WIDE * share
    middles = {k: leaf.start + leaf.width / 2 for k, leaf in leaves.items()}
    count = min(MAX_GROUPS, max(1, round(tree.num_clusters / 3)))
    cut = tree.cut(count)
    groups = []
    for number in dict.fromkeys(int(cut[k]) for k in order):
        members = [leaves[k] for k in order if cut[k] == number]
        rows = {leaf.cluster: ROW * (i + 0.5) for i, leaf in enumerate(members)}
        known = tuple(dict.fromkeys(leaf.name for leaf in members if leaf.name))
        share = sum(leaf.share for leaf in members)
        groups.append(Group(number, share, known, tuple(members), _branch(tree, rows)))
    return TreeView(_upright(tree, middles), tuple(groups))


def _upright(tree: ClusterTree, middles: Mapping[int, float]) -> str:
    """The whole tree above leaves at some x."""
    tall = TALL - 2
    return "".join(
        f"M{a:.1f} {TALL - tall * low:.1f}V{TALL - tall * top:.1f}H{b:.1f}V{TALL - tall * high:.1f}"
        for a, low, b, high, top in _joints(tree, middles)
    )


def _branch(tree: ClusterTree, rows: Mapping[int, float]) -> str:
    """The part of the tree over some clusters, to the left of leaves at some y."""
    joints = _joints(tree, rows)
    tallest = max([top for *_, top in joints], default=0) or 1.0
    wide = (BRANCH - 4) / tallest
    if not joints:
        return f"M0 {ROW / 2:.1f}H{BRANCH}"
    return "".join(
        f"M{BRANCH - wide * low:.1f} {a:.1f}H{BRANCH - wide * top:.1f}V{b:.1f}"
        f"H{BRANCH - wide * high:.1f}"
        for a, low, b, high, top in joints
    )


def _joints(
    tree: ClusterTree, places: Mapping[int, float]
) -> list[tuple[float, float, float, float, float]]:
    """Merges of clusters that have a place: place and height of both sides, height of the merge."""
    nodes = {k: (place, 0.0) for k, place in places.items()}
    joints = []
    for step, ((first, second), height) in enumerate(
        zip(tree.merges.tolist(), tree.heights.tolist(), strict=True)
    ):
        if first not in nodes or second not in nodes:
            continue
        (a, low), (b, high) = nodes[first], nodes[second]
        joints.append((a, low, b, high, height))
        nodes[tree.num_clusters + step] = ((a + b) / 2, height)
    return joints
