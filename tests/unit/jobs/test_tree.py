"""The tree of a run's clusters: what is counted for it, and where it can be cut."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import raynef
from raynef.assign.tree import agglomerate
from raynef.core.errors import UserError
from raynef.jobs.kmeans import kmeans
from raynef.jobs.probe import probe
from raynef.jobs.tree import neighborhoods, neighborhoods_of, tree_of
from raynef.stores.features import FeatureStore
from tests.known import present
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("without_ray")


def test_neighborhoods_are_those_of_loops():
    draws = np.random.default_rng(0)
    features = draws.normal(size=(2, 12, 5))
    clusters, valid = draws.integers(0, 4, (2, 3, 4)), draws.random((2, 3, 4)) < 0.8
    sums, sizes, touches = np.zeros((4, 5)), np.zeros(4), np.zeros((4, 4))
    for image in range(2):
        for y in range(3):
            for x in range(4):
                if not valid[image, y, x]:
                    continue
                mine = clusters[image, y, x]
                sizes[mine] += 1
                sums[mine] += features[image, 4 * y + x]
                for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                    if 0 <= y + dy < 3 and 0 <= x + dx < 4 and valid[image, y + dy, x + dx]:
                        touches[mine, clusters[image, y + dy, x + dx]] += 1
    found = neighborhoods(features, clusters, valid, 4)
    np.testing.assert_allclose(found.sums, sums)
    np.testing.assert_array_equal(found.sizes, sizes)
    np.testing.assert_array_equal(found.touches, touches)
    twice = found + found
    assert (twice.num_images, twice.sizes.tolist()) == (4, (2 * sizes).tolist())
    np.testing.assert_allclose(np.linalg.norm(found.means, axis=1), 1)


def test_a_run_has_a_tree_of_its_training_patches(run_here):
    run, _ = run_here
    segmenter = raynef.Segmenter.load(run)
    tree, store = present(segmenter.tree), FeatureStore(run / "store")
    seen = neighborhoods_of(run, store, precision="float32")
    assert seen.num_images == 10
    assert seen.sizes.sum() == sum(
        int(store.read([image], view=0).valid.sum()) for image in store.images()
    )
    again = agglomerate(seen.means, seen.sizes, seen.touches)
    np.testing.assert_array_equal(tree.merges, again.merges)
    np.testing.assert_array_equal(tree.sizes, seen.sizes)


def test_it_is_cut_saved_and_read_again(run_here, sample, tmp_path):
    segmenter = raynef.Segmenter.load(run_here[0])
    groups = segmenter.cut(5)
    assert (groups.shape, sorted(set(groups.tolist()))) == ((12,), [0, 1, 2, 3, 4])
    clusters = segmenter(sample / "images" / "val_00000.jpg").clusters
    assert groups[clusters].shape == clusters.shape
    for count in (0, 13):
        with pytest.raises(UserError, match="12 clusters make 1 to 12 groups"):
            segmenter.cut(count)
    segmenter.save(tmp_path / "copy")
    np.testing.assert_array_equal(raynef.Segmenter.load(tmp_path / "copy").cut(5), groups)
    segmenter.tree = None
    segmenter.save(tmp_path / "copy")
    with pytest.raises(UserError, match="no tree over its clusters"):
        raynef.Segmenter.load(tmp_path / "copy").cut(5)


def test_a_damaged_tree_is_named(run_here, tmp_path):
    copy = Path(shutil.copytree(run_here[0] / "segmenter", tmp_path / "copy"))
    plain = json.loads((copy / "tree.json").read_text())
    for spoiled in ("{", json.dumps({**plain, "merges": plain["merges"][1:]}), "[]"):
        (copy / "tree.json").write_text(spoiled)
        with pytest.raises(UserError, match=r"tree.json is damaged"):
            raynef.Segmenter.load(copy)


def test_a_baseline_has_one_and_a_probe_none(run_here, recipe, tmp_path):
    stored = change(recipe, train={"store": str(run_here[0] / "store")})
    kmeans(stored, tmp_path / "kmeans")
    tree = present(raynef.Segmenter.load(tmp_path / "kmeans").tree)
    expected = tree_of(
        tmp_path / "kmeans", FeatureStore(run_here[0] / "store"), precision="float32"
    )
    np.testing.assert_array_equal(tree.merges, expected.merges)
    probe(stored, tmp_path / "probe")
    assert raynef.Segmenter.load(tmp_path / "probe").tree is None
