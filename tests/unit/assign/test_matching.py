"""Matchings and scores against brute force, from one table."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynef.assign.matching import UNMATCHED, match, score

METHODS = ["iou", "count", "hungarian"]


def slow_majority(table, method):
    classes = []
    for cluster in range(table.shape[0]):
        if table[cluster].sum() == 0:
            classes.append(UNMATCHED)
            continue
        values = []
        for c in range(table.shape[1]):
            both = int(table[cluster, c])
            union = int(table[cluster].sum()) + int(table[:, c].sum()) - both
            values.append(both / union if method == "iou" else both)
        classes.append(values.index(max(values)))
    return classes


def one_to_one(num_clusters, num_classes):
    """Every matching that leaves as few clusters and classes over as it can: the class of each."""
    if num_clusters <= num_classes:
        yield from itertools.permutations(range(num_classes), num_clusters)
        return
    for rows in itertools.permutations(range(num_clusters), num_classes):
        yield tuple(rows.index(k) if k in rows else UNMATCHED for k in range(num_clusters))


def best_total(table, criterion):
    """The most pixels, or the largest sum of IoU, of any one-to-one matching."""
    totals = []
    for classes in one_to_one(*table.shape):
        _, iou = slow_scores(table, classes)
        pixels = sum(table[k, c] for k, c in enumerate(classes) if c != UNMATCHED)
        totals.append(np.nansum(iou) if criterion == "iou" else pixels)
    return max(totals)


def slow_scores(table, classes):
    """Over a list of pixels: (accuracy, IoU per class or NaN)."""
    pixels = [(classes[k], c) for k, c in np.ndindex(table.shape) for _ in range(int(table[k, c]))]
    right = sum(predicted == true for predicted, true in pixels)
    ious = []
    for c in range(table.shape[1]):
        both = sum(predicted == c and true == c for predicted, true in pixels)
        either = sum(predicted == c or true == c for predicted, true in pixels)
        present = any(true == c for _, true in pixels)
        ious.append(both / either if present else np.nan)
    return (right / len(pixels) if pixels else np.nan), np.array(ious)


def tables(max_clusters=6, max_classes=5, most=4):
    """Small tables with many zeros: empty clusters and absent classes are common."""
    counts = st.one_of(st.just(0), st.integers(0, most))
    shapes = st.tuples(st.integers(1, max_clusters), st.integers(1, max_classes))
    return shapes.flatmap(
        lambda shape: st.lists(
            counts, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]
        ).map(lambda values: np.array(values, dtype=np.int64).reshape(shape))
    )


@given(table=tables(), method=st.sampled_from(["iou", "count"]))
def test_majority_equals_brute_force(table, method):
    np.testing.assert_array_equal(match(table, method), slow_majority(table, method))


@given(table=tables(max_clusters=5, max_classes=4), criterion=st.sampled_from(["iou", "count"]))
def test_hungarian_is_one_to_one_and_best(table, criterion):
    classes = match(table, "hungarian", criterion=criterion)
    matched = classes != UNMATCHED
    assert len(set(classes[matched])) == matched.sum()
    assert not matched[table.sum(axis=1) == 0].any()
    total = table[matched, classes[matched]].sum()
    if criterion == "iou":
        total = np.nansum(score(table, classes).iou)
    np.testing.assert_allclose(total, best_total(table, criterion), atol=1e-12)


def test_the_criteria_of_hungarian_differ_where_classes_differ_in_size():
    """Class 0 is large: cluster 0 has more of it, and of class 1 nearly all."""
    table = np.array([[40, 7], [30, 1]])
    count, iou = (match(table, "hungarian", criterion=name) for name in ("count", "iou"))
    assert count.tolist() == match(table, "hungarian").tolist() == [0, 1]
    assert iou.tolist() == [1, 0]
    assert score(table, iou).miou == pytest.approx((30 / 71 + 7 / 48) / 2)
    assert score(table, iou).miou > score(table, count).miou
    assert score(table, iou).accuracy < score(table, count).accuracy


@given(table=tables(), method=st.sampled_from(METHODS))
def test_scores_equal_a_loop_over_pixels(table, method):
    classes = match(table, method)
    scores = score(table, classes)
    accuracy, iou = slow_scores(table, classes)
    np.testing.assert_allclose(scores.accuracy, accuracy)
    np.testing.assert_allclose(scores.iou, iou)
    expected = np.nan if np.isnan(iou).all() else np.nanmean(iou)
    np.testing.assert_allclose(scores.miou, expected)


@given(seed=st.integers(0, 2**32 - 1), method=st.sampled_from(METHODS))
def test_the_order_of_clusters_does_not_matter(seed, method):
    draws = np.random.default_rng(seed)
    table = draws.integers(0, 2**31, (7, 4))  # ties are as good as impossible
    order = draws.permutation(7)
    first, second = match(table, method), match(table[order], method)
    np.testing.assert_array_equal(first[order], second)
    one, other = score(table, first), score(table[order], second)
    assert one.miou == pytest.approx(other.miou, abs=1e-12)
    assert one.accuracy == pytest.approx(other.accuracy, abs=1e-12)
    np.testing.assert_allclose(one.iou, other.iou)


def test_iou_and_count_differ_where_classes_differ_in_size():
    """Cluster 0 has most pixels in the large class 0 but most of what there is of class 1."""
    table = np.array([[60, 50], [400, 0]])
    assert match(table, "count").tolist() == [0, 0]
    assert match(table, "iou").tolist() == [1, 0]


def test_the_optimum_is_not_the_greedy_choice():
    table = np.array([[10, 9], [9, 1]])
    assert match(table, "hungarian").tolist() == [1, 0]


def test_more_clusters_than_classes():
    """An unmatched cluster's pixels are errors of their class and predictions of none."""
    table = np.array([[50, 0], [0, 40], [30, 0]])
    classes = match(table, "hungarian")
    assert classes.tolist() == [0, 1, UNMATCHED]
    scores = score(table, classes)
    assert scores.accuracy == pytest.approx(90 / 120)
    np.testing.assert_allclose(scores.iou, [50 / 80, 1.0])  # class 1 is not blamed for the 30
    assert score(table, match(table, "iou")).accuracy == 1.0


def test_fewer_clusters_than_classes():
    table = np.array([[5, 0, 2], [0, 6, 0]])
    assert match(table, "hungarian").tolist() == [0, 1]
    np.testing.assert_allclose(score(table, match(table, "hungarian")).iou, [5 / 7, 1, 0])


def test_absent_classes_are_left_out_of_the_mean():
    table = np.array([[8, 0, 0], [0, 0, 2]])
    scores = score(table, match(table, "iou"))
    np.testing.assert_array_equal(scores.iou, [1, np.nan, 1])
    assert scores.miou == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_no_pixel_at_all(method):
    table = np.zeros((3, 2), dtype=np.int64)
    classes = match(table, method)
    assert classes.tolist() == [UNMATCHED] * 3
    scores = score(table, classes)
    assert np.isnan([scores.accuracy, scores.miou, *scores.iou]).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_table_is_not_touched(method):
    table = np.array([[3, 1], [0, 2], [0, 0]])
    before = table.copy()
    score(table, match(table, method))
    np.testing.assert_array_equal(table, before)
