"""Labels that are the same in every image, against loops over what the STORE holds."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.cluster.place import this_process
from raynef.images.datasets.registry import open_split
from raynef.images.fitted import to_whole_image
from raynef.jobs.spectral.eigen import open_solved
from raynef.jobs.spectral.features import WholeFeatures, ensure_features
from raynef.jobs.spectral.labels import label_folder, scores_of
from raynef.jobs.spectral.points import draw_points, read_points
from raynef.jobs.spectral.segments import SegmentStore, ensure_segments
from raynef.jobs.spectral.semantic import semantic
from tests.known import present
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("one_thread")

METHODS = ["spectral", "cluster-seg", "cluster-patch"]


def segments_of(store, recipe, method) -> SegmentStore:
    with this_process():
        return ensure_segments(open_solved(store), recipe, method, seed=0)


def slow_rows(store, recipe, method):
    """For each image: its points in float64, the point of each node, and which is background."""
    solved = open_solved(store)
    for index in solved.pairs.images():
        if method == "cluster-patch":
            values = WholeFeatures(solved.features).read(index).numpy().astype(np.float64)
            nodes = np.arange(values.shape[0] * values.shape[1]).reshape(values.shape[:2])
            yield values.reshape(-1, values.shape[-1]), nodes, None
            continue
        segments = segments_of(store, recipe, method).read(index)
        rows = [row / np.sqrt((row**2).sum()) for row in segments.features.astype(np.float64)]
        background = segments.background if method == "spectral" else None
        yield np.stack(rows), segments.index, background


def nearest(rows, centroids):
    return np.array([np.square(centroids - row).sum(axis=1).argmin() for row in rows])


def pngs(result):
    return [np.asarray(Image.open(p)) for p in sorted(Path(result["labels"]).rglob("*.png"))]


@pytest.fixture(scope="module", params=METHODS)
def labeled(request, store, whole):
    """The result of a method, what its PNGs hold, and its centers."""
    with this_process():
        result = semantic(store, whole, method=request.param)
    centroids = np.load(store / f"semantic-{request.param}.npz")["centroids"]
    return result, pngs(result), centroids.astype(np.float64)


def test_a_pixel_has_the_label_of_the_nearest_center(labeled, store, whole):
    result, found, centroids = labeled
    solved = open_solved(store)
    for index, (rows, nodes, background) in enumerate(slow_rows(store, whole, result["method"])):
        labels = nearest(rows, centroids)
        if result["method"] == "spectral":
            labels = labels + 1
            labels[background] = 0
        expected = to_whole_image(labels[nodes], solved.pairs.read(index).frame)
        np.testing.assert_array_equal(found[index], expected)
    assert np.unique(np.concatenate(found)).tolist() == [0, 1, 2, 3]


def test_a_center_is_the_mean_of_the_points_nearest_to_it(labeled, store, whole):
    """Of all images, without their backgrounds."""
    result, _, centroids = labeled
    parts = []
    for rows, _, background in slow_rows(store, whole, result["method"]):
        parts.append(np.delete(rows, [] if background is None else [background], axis=0))
    points = np.concatenate(parts)
    assert result["num_points"] == len(points)
    own = nearest(points, centroids)
    for k, center in enumerate(centroids):
        np.testing.assert_allclose(points[own == k].mean(axis=0), center, atol=1e-4)


def test_the_same_seed_gives_the_same_labels(labeled, store, whole):
    result, found, _ = labeled
    with this_process():
        again = semantic(store, whole, method=result["method"])
    assert {k: v for k, v in result.items() if k != "seconds"} == {
        k: v for k, v in again.items() if k != "seconds"
    }
    for one, other in zip(found, pngs(again), strict=True):
        np.testing.assert_array_equal(one, other)


def slow_scores(found, truths, num_classes):
    """The best mIoU and the best accuracy of any one-to-one matching, from masks of both."""
    labels, truth = np.concatenate(found).ravel(), np.concatenate(truths).ravel()
    labels, truth = labels[truth != 255], truth[truth != 255]
    present = np.unique(truth)
    both = {(k, c): ((labels == k) & (truth == c)).sum() for k in range(4) for c in present}
    either = {(k, c): ((labels == k) | (truth == c)).sum() for k in range(4) for c in present}
    ious, accuracies = [], []
    for classes in itertools.permutations(range(num_classes), 4):
        pairs = [(k, c) for k, c in enumerate(classes) if c in present]
        ious.append(sum(both[pair] / either[pair] for pair in pairs) / len(present))
        accuracies.append(sum(both[pair] for pair in pairs) / len(truth))
    return max(ious), max(accuracies)


def test_the_scores_are_those_of_the_best_matching_of_the_pngs(store, whole):
    """By either criterion, of the same segments and labels: nothing is made anew."""
    files = open_split(whole.data, "train").files
    names = open_solved(store).images.class_names
    segments_of(store, whole, "spectral")
    before = sorted(store.glob("segments-*/*"))
    with this_process():
        by_iou = semantic(store, whole)
        by_count = semantic(store, change(whole, spectral={"hungarian": "count"}))
    assert sorted(store.glob("segments-*/*")) == before
    truths = [np.asarray(Image.open(present(file.label))) for file in files]
    best_iou, best_accuracy = slow_scores(pngs(by_iou), truths, len(names))
    assert (by_iou["hungarian"], by_count["hungarian"]) == ("iou", "count")
    assert by_iou["miou"] == pytest.approx(best_iou, abs=1e-12)
    assert by_count["accuracy"] == pytest.approx(best_accuracy, abs=1e-12)
    assert by_count["miou"] <= by_iou["miou"]


def test_the_criterion_of_hungarian_decides(store):
    solved = open_solved(store)
    table = np.zeros(label_folder(solved, store, 2).shape, dtype=np.int64)
    table[:, :2] = [[40, 7], [30, 1]]
    by_iou, by_count = (scores_of(solved, table, name) for name in ("iou", "count"))
    assert by_iou["miou"] == pytest.approx((30 / 71 + 7 / 48) / 2)
    assert by_count["accuracy"] == pytest.approx(41 / 78)
    assert by_iou["miou_majority"] == by_count["miou_majority"]


def test_a_segment_of_cluster_seg_has_the_mean_of_its_own_patches(store, whole):
    segments = segments_of(store, whole, "cluster-seg")
    features = WholeFeatures(store / "features")
    for index in range(10):
        found, values = segments.read(index), features.read(index).numpy()
        assert len(found.features) == 4
        for s, feature in enumerate(found.features):
            members = [values[y, x] for y, x in np.argwhere(found.index == s)]
            np.testing.assert_allclose(feature, np.mean(members, axis=0), rtol=2e-3, atol=1e-4)


SMALL, LARGE = (32, 32), (192, 256)  # 4 and 192 patches


@pytest.fixture(scope="module")
def uneven(whole, tmp_path_factory):
    """Features of four small images, which come first, and of four large ones."""
    root = tmp_path_factory.mktemp("uneven")
    draws = np.random.default_rng(0)
    for number in range(8):
        size = SMALL if number < 4 else LARGE
        pixels = draws.integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.png")
    recipe = change(whole, data={"root": str(root)})
    images = open_split(recipe.data, "train")
    with this_process():
        return ensure_features(recipe, images, tmp_path_factory.mktemp("f"), stride=16)


def test_patches_are_drawn_alike_from_images_of_all_sizes(uneven):
    images, num_patches = uneven.images(), 4 * 4 + 4 * 192
    with this_process():
        everything = draw_points(uneven, images, max_points=10_000, seed=0)
        drawn = [
            draw_points(uneven, images, max_points=num_patches // 4, seed=s) for s in (0, 0, 1)
        ]
    by_row = {row.tobytes(): place for place, row in enumerate(everything)}
    assert len(by_row) == len(everything) == num_patches
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert drawn[0].shape != drawn[2].shape or (drawn[0] != drawn[2]).any()
    for points in drawn:
        places = [by_row[row.tobytes()] for row in points]
        assert len(set(places)) == len(places)
        assert 150 < len(places) <= num_patches // 4
        counts = np.histogram(places, bins=[0, 16, 208, 400, 592, 784])[0]
        assert 0 < counts[0] < 12  # of the sixteen small ones
        assert (np.abs(counts[1:] - 48) < 24).all()  # a quarter of 192, four standard deviations


def test_tasks_hand_over_only_what_may_be_drawn(uneven, monkeypatch):
    """The driver never sees all features of a large data set."""
    handed = []

    def counting(unit, **how):
        rows, numbers = read_points(unit, **how)
        handed.append(len(rows))
        return rows, numbers

    monkeypatch.setattr("raynef.jobs.spectral.points.read_points", counting)
    with this_process():
        draw_points(uneven, uneven.images(), max_points=196, seed=0)
    assert 150 < sum(handed) < 250  # of 784


def test_segments_beyond_the_limit_are_drawn_from_all_images(store, whole):
    segments = segments_of(store, whole, "spectral")
    images = open_solved(store).pairs.images()
    with this_process():
        everything = draw_points(segments, images, max_points=1000, seed=0)
        draws = [draw_points(segments, images, max_points=12, seed=seed) for seed in range(40)]
    assert max(map(len, draws)) == 12
    times = np.array([sum((draw == row).all(axis=1).any() for draw in draws) for row in everything])
    assert len(times) == 30
    assert times.min() >= 4  # 12 of 30 in 40 draws: 16 times, give or take 3.1
    assert times.max() <= 28


@pytest.mark.parametrize("method", METHODS)
def test_the_limit_is_that_of_the_recipe(store, whole, method):
    few = change(whole, kmeans={"max_points": 8})
    with this_process():
        assert 4 <= semantic(store, few, method=method)["num_points"] <= 8
