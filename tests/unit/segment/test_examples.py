"""Segments that show a cluster: which there are, and which are taken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynef.segment.examples import Segments, choose, segments_of


def test_segments_are_connected_parts():
    clusters = np.array([[1, 1, 0, 2], [1, 0, 0, 2], [0, 0, 1, 1]])
    margins = np.arange(12.0).reshape(3, 4)
    found = segments_of(clusters, margins, image=7)
    assert found.image.tolist() == [7] * 4
    assert found.cluster.tolist() == [0, 1, 1, 2]
    assert found.rank.tolist() == [0, 0, 1, 0]
    assert found.area.tolist() == [5, 3, 2, 2]
    assert found.box.tolist() == [[0, 0, 3, 3], [0, 0, 2, 2], [2, 2, 3, 4], [0, 3, 2, 4]]
    assert found.margin.tolist() == [(2 + 5 + 6 + 8 + 9) / 5, 5 / 3, 10.5, 5.0]


def test_of_an_image_only_the_largest_parts_of_a_cluster_are_candidates():
    clusters = np.zeros((2, 20), dtype=int)
    clusters[0, ::2] = 1
    clusters[0, 1:5] = 1
    found = segments_of(clusters, np.ones((2, 20)), image=0)
    assert found.area[found.cluster == 1].tolist() == [5, 1, 1]


def drawn(seed, num, num_images):
    draws = np.random.default_rng(seed)
    image = draws.integers(0, num_images, num)
    rank = np.array([(image[:i] == image[i]).sum() for i in range(num)], dtype=np.int64)
    area = draws.integers(1, 500, num)
    box, cluster = np.zeros((num, 4), dtype=np.int64), np.zeros(num, dtype=np.int64)
    return Segments(image, cluster, rank, box, area, draws.normal(size=num))


def places(found):
    return [found.typical.tolist(), found.borderline.tolist(), found.random.tolist()]


@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(1, 40))
def test_no_segment_is_taken_twice_and_the_choice_is_the_same_again(seed, num, num_images):
    segments = drawn(seed, num, num_images)
    found = places(choose(segments, np.random.default_rng(1)))
    taken = [place for kind in found for place in kind]
    assert len(set(taken)) == len(taken) == min(num, 20)
    assert [len(kind) for kind in found][1:] == [min(4, num // 4)] * 2
    assert found == places(choose(segments, np.random.default_rng(1)))


def test_typical_ones_are_sure_borderline_ones_are_not():
    segments = drawn(3, 40, 10**6)  # one of each image
    found = choose(segments, np.random.default_rng(0))
    assert segments.margin[found.typical].min() > segments.margin[found.borderline].max()
    large = np.flatnonzero(segments.area >= np.median(segments.area) / 4)
    surest = large[np.argsort(-segments.margin[large])]
    assert found.typical.tolist() == surest[:12].tolist()
    assert found.borderline.tolist() == surest[::-1][:4].tolist()


def test_images_take_turns():
    segments = drawn(5, 60, 15)
    found = choose(segments, np.random.default_rng(0))
    assert len(set(segments.image[found.typical].tolist())) == 12


def test_specks_are_taken_last():
    segments = drawn(0, 16, 10**6)
    segments.area[:] = 100
    segments.area[3] = 5
    segments.margin[3] = 99.0
    found = choose(segments, np.random.default_rng(0))
    assert 3 not in found.typical
    segments.area[3] = 100
    assert choose(segments, np.random.default_rng(0)).typical[0] == 3


@pytest.mark.parametrize("num", [0, 1])
def test_few_are_all_typical(num):
    assert places(choose(drawn(0, num, 3), np.random.default_rng(0))) == [list(range(num)), [], []]
