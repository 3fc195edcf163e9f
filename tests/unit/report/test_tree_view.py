"""The tree on the page: every cluster once, as wide as its share, in the groups of a cut."""

import re

import numpy as np
import pytest

from raynef.assign.tree import ClusterTree, agglomerate
from raynef.report.page import render
from raynef.report.tree_view import MAX_GROUPS, WIDE, tree_view
from tests.unit.report.pages import NAMES, TREE, a_run
from tests.unit.report.test_page import words


def a_tree(num_clusters: int) -> ClusterTree:
    rng = np.random.default_rng(0)
    sizes = rng.integers(0, 50, num_clusters)
    touches = np.zeros((num_clusters, num_clusters))
    return agglomerate(rng.normal(size=(num_clusters, 4)), sizes, touches)


@pytest.mark.parametrize("num_clusters", [1, 2, 32, 256])
def test_every_cluster_has_its_place(num_clusters: int) -> None:
    tree = a_tree(num_clusters)
    view = tree_view(tree, {})
    leaves = [leaf for group in view.groups for leaf in group.leaves]
    assert [leaf.cluster for leaf in leaves] == tree.leaves(tree.sizes).tolist()
    assert sum(leaf.share for leaf in leaves) == pytest.approx(1)
    ends = [0.0, *(leaf.start + leaf.width for leaf in leaves)]
    assert [leaf.start for leaf in leaves] == pytest.approx(ends[:-1])
    assert ends[-1] == pytest.approx(WIDE)
    assert view.path.count("M") == num_clusters - 1
    assert len(view.groups) <= MAX_GROUPS
    cut = tree.cut(len(view.groups))
    for group in view.groups:
        assert {int(cut[leaf.cluster]) for leaf in group.leaves} == {group.number}
        assert group.path.count("M") == max(1, len(group.leaves) - 1)


def test_a_tree_of_empty_clusters_is_drawn() -> None:
    empty = ClusterTree(np.zeros(4, dtype=np.int64), TREE.merges, np.zeros(3))
    assert "nan" not in tree_view(empty, {}).path


def test_the_page_has_it_with_names_and_shares() -> None:
    page = render(a_run())
    text = words(page)
    assert text.index("Group 0 100.0") < text.index("1 grass 30.0") < text.index("0 sky 40.0")
    assert "3 10.0\u202f%" in text
    places = [float(x) for x in re.findall(r'<rect x="([\d.]+)" y="65"', page)]
    assert places == sorted(places)
    assert len(places) == 4
    assert NAMES[0] == "sky"
