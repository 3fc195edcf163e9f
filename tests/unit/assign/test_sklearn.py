"""Tables and scores against scikit-learn, on pixels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from raynef.assign.contingency import contingency
from raynef.assign.matching import UNMATCHED, match, score
from raynef.core import IGNORE

jaccard: Callable[..., Any] = metrics.jaccard_score
"""It says no types: those of its defaults are narrower than what it takes."""


def random_maps(seed, num_clusters, num_classes, shape=(17, 23)):
    """Clusters that follow the classes to a random degree, and labels, some ignored or absent."""
    draws = np.random.default_rng(seed)
    label = draws.choice(draws.integers(0, num_classes, 1 + num_classes), shape)
    follows = draws.random(shape) < draws.random()
    clusters = np.where(follows, label, draws.integers(0, num_clusters, shape)) % num_clusters
    label[draws.random(shape) < 0.1] = IGNORE
    return clusters, label


def table_of(clusters, label, num_clusters, num_classes):
    return contingency(
        clusters, label, num_clusters=num_clusters, num_classes=num_classes, name="x"
    )


sizes = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(2, 7))


@given(sizes)
def test_the_table_is_sklearns_confusion(drawn):
    _, num_clusters, num_classes = drawn
    clusters, label = random_maps(*drawn)
    table = table_of(clusters, label, num_clusters, num_classes)
    scored = label != IGNORE
    both = max(num_clusters, num_classes)
    expected = metrics.confusion_matrix(
        clusters[scored], label[scored], labels=np.arange(both)
    )  # rows: clusters, as if they were the truth
    np.testing.assert_array_equal(table, expected[:num_clusters, :num_classes])
    assert table.sum() == scored.sum()


@pytest.mark.parametrize("method", ["iou", "count", "hungarian"])
@given(drawn=sizes)
def test_scores_are_sklearns(drawn, method):
    clusters, label = random_maps(*drawn)
    table = table_of(clusters, label, drawn[1], drawn[2])
    classes = match(table, method)
    scores = score(table, classes)
    truth = label[label != IGNORE]
    predicted = classes[clusters[label != IGNORE]]
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(truth, predicted))
    present = np.unique(truth)
    macro = jaccard(truth, predicted, labels=present, average="macro", zero_division=0)
    assert scores.miou == pytest.approx(macro)
    each = jaccard(truth, predicted, labels=present, average=None, zero_division=0)
    np.testing.assert_allclose(scores.iou[present], each)
    assert np.isnan(np.delete(scores.iou, present)).all()
    assert UNMATCHED not in present
