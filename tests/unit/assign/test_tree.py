"""The tree over clusters, against a twin that computes every cost anew at every step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynef.assign.tree import ClusterTree, agglomerate


def drawn(seed, num=9, dim=3):
    draws = np.random.default_rng(seed)
    touches = draws.integers(0, 20, (num, num))
    touches = touches + touches.T
    return draws.normal(size=(num, dim)), draws.integers(1, 40, num), touches


def twin(means, sizes, touches, touch):
    """The groups after each merge, as sets of clusters, from sums over their members alone."""
    groups = [{k} for k in range(len(means))]
    sums = [np.array(mean) * size for mean, size in zip(means, sizes, strict=True)]

    def between(a, b):
        return sum(touches[i, j] for i in a for j in b)

    total = touches.sum()
    history = []
    while len(groups) > 1:
        best = (np.inf, 0, 0)
        for x, a in enumerate(groups):
            for y, b in enumerate(groups[:x]):
                size_a, size_b = (sum(sizes[i] for i in group) for group in (a, b))
                means_of = [sum(sums[i] for i in g) / s for g, s in ((a, size_a), (b, size_b))]
                cost = size_a * size_b / (size_a + size_b)
                cost *= np.square(means_of[0] - means_of[1]).sum()
                everything = set(range(len(means)))
                degrees = between(a, everything) * between(b, everything)
                lift = between(a, b) * total / max(degrees, 1)
                cost *= (1 + lift) ** touch
                if cost < best[0]:
                    best = (cost, x, y)
        _, x, y = best
        merged = groups[x] | groups[y]
        groups = [g for i, g in enumerate(groups) if i not in (x, y)] + [merged]
        history.append({frozenset(group) for group in groups})
    return history


@pytest.mark.parametrize("touch", [0.0, 0.25, -1.0])
@pytest.mark.parametrize("seed", range(4))
def test_merges_are_those_of_the_twin(seed, touch):
    means, sizes, touches = drawn(seed)
    tree = agglomerate(means, sizes, touches, touch=touch)
    for step, expected in enumerate(twin(means, sizes, touches, touch), 1):
        groups = tree.cut(len(means) - step)
        found = {frozenset(np.flatnonzero(groups == g).tolist()) for g in range(groups.max() + 1)}
        assert found == expected


def test_clusters_that_touch_stay_apart_longer():
    """Four on a line, equally far: without touching the first pair is merged first."""
    means, sizes = np.array([[0.0], [1.0], [2.0], [3.0]]), np.full(4, 10)
    touches = np.full((4, 4), 5)
    assert agglomerate(means, sizes, touches).merges[0].tolist() == [0, 1]
    touches[0, 1] = touches[1, 0] = 50
    assert agglomerate(means, sizes, touches).merges[0].tolist() == [1, 2]
    assert agglomerate(means, sizes, touches, touch=0).merges[0].tolist() == [0, 1]


@given(st.integers(0, 10**6), st.integers(1, 12))
def test_cuts_are_nested_and_the_largest_group_is_0(seed, num):
    means, sizes, touches = drawn(seed, num)
    tree = agglomerate(means, sizes, touches)
    assert (np.diff(tree.heights) >= 0).all()
    assert sorted(tree.leaves().tolist()) == list(range(num))
    finer = tree.cut(num)
    for count in range(num, 0, -1):
        groups = tree.cut(count)
        assert sorted(set(groups.tolist())) == list(range(count))
        sums = np.bincount(groups, weights=sizes)
        assert (np.diff(sums) <= 0).all()
        for group in range(finer.max() + 1):  # each finer group lies within one
            assert len(set(groups[finer == group].tolist())) == 1
        finer = groups


def test_leaves_follow_the_tree_the_heavier_side_first():
    means = np.array([[0.0], [10.0], [0.1], [10.2], [30.0]])
    tree = agglomerate(means, np.array([5, 5, 5, 9, 5]), np.zeros((5, 5)))
    leaves = tree.leaves().tolist()
    assert abs(leaves.index(0) - leaves.index(2)) == 1
    assert tree.cut(3).tolist() == [1, 0, 1, 0, 2]
    assert tree.leaves(np.array([1, 2, 3, 4, 50])).tolist() == [4, 3, 1, 2, 0]
    assert tree.leaves(np.array([9, 2, 3, 4, 0])).tolist() == [0, 2, 3, 1, 4]


def test_an_empty_cluster_costs_nothing():
    means = np.array([[0.0], [5.0], [9.0]])
    tree = agglomerate(means, np.array([0, 4, 4]), np.zeros((3, 3)))
    assert 0 in tree.merges[0]
    assert np.isfinite(tree.heights).all()


def test_it_is_read_as_it_was_written():
    tree = agglomerate(*drawn(3))
    found = ClusterTree.of_plain(tree.plain())
    np.testing.assert_array_equal(found.merges, tree.merges)
    np.testing.assert_array_equal(found.sizes, tree.sizes)
    np.testing.assert_allclose(found.heights, tree.heights, rtol=1e-3)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda plain: plain["merges"].pop(),
        lambda plain: plain["merges"].__setitem__(0, [0, 0]),
        lambda plain: plain["merges"].reverse(),
        lambda plain: plain["heights"].pop(),
        lambda plain: plain.pop("sizes"),
        lambda plain: plain["sizes"].clear(),
    ],
)
def test_what_is_no_tree_is_refused(spoil):
    plain = agglomerate(*drawn(0)).plain()
    spoil(plain)
    with pytest.raises((KeyError, ValueError)):
        ClusterTree.of_plain(plain)


@pytest.mark.parametrize("count", [0, 10])
def test_a_cut_that_there_is_not(count):
    with pytest.raises(ValueError, match="no cut into"):
        agglomerate(*drawn(0)).cut(count)
