"""Plans: which trials a space needs, and which cells they fill."""

import sys
from dataclasses import replace

import pytest

from raynef.config.recipe import Data, Evaluate, Graph, KMeans, Recipe, Spectral, Train
from raynef.core.errors import UserError
from raynef.sweeps.request import with_crf_columns
from raynef.sweeps.space import Axis, Space
from raynef.sweeps.space_file import read_space
from raynef.sweeps.sweep import DataSet, Target, identity, plan, score_key

BASE = Recipe(data=Data(root="/data/a"), train=Train(epochs=3))
A = DataSet("a", BASE, num_classes=7)
B = DataSet("b", replace(BASE, data=Data(root="/data/b")), num_classes=5)
ALPHA = Axis("graph.alpha", "grid", (0.0, 0.3))
K = Axis("eigen.num_eigenfunctions", "grid", (8, 16))
MATCH = Axis("evaluate.match", "grid", ("iou", "hungarian"))


def space(*axes, **fields):
    return Space("test", "t", axes=axes, **fields)


def test_a_trial_for_each_point_data_set_and_seed():
    planned = plan(space(ALPHA, K), [A, B], seeds=(0, 1))
    assert len(planned.trials) == len(planned.cells) == 2 * 2 * 2 * 2
    assert len({trial.name for trial in planned.trials}) == 16
    first, second = planned.cells[0], planned.cells[2]
    assert first.where == {"data": "a", "method": "ours", ALPHA.key: 0.0, K.key: 8}
    assert second.where[K.key] == 16  # the last axis fastest


def test_kmeans_is_shared_by_what_it_does_not_see():
    planned = plan(space(ALPHA, K, methods=("kmeans", "ours")), [A], seeds=(0,))
    kinds = [trial.kind for trial in planned.trials]
    assert (kinds.count("kmeans"), kinds.count("ours")) == (2, 4)
    kmeans = [cell for cell in planned.cells if cell.method == "kmeans"]
    assert len(kmeans) == 4
    assert {cell.trial for cell in kmeans if cell.where[K.key] == 8} == {kmeans[0].trial}


def test_methods_of_one_training_share_its_trial():
    (trial,) = plan(space(methods=("ours", "ours_star", "probe_psi")), [A], seeds=(0,)).trials
    assert trial.methods == ("ours", "ours_star", "probe_psi")
    leaked = plan(space(methods=("ours", "leaked")), [A], seeds=(0,)).trials
    assert [t.recipe.train.leak_labels for t in leaked] == [False, True]


def test_an_axis_of_scoring_trains_once():
    planned = plan(space(MATCH), [A], seeds=(0,))
    (trial,) = planned.trials
    assert [score.evaluate.match for score in trial.scores] == ["iou", "hungarian"]
    assert len({cell.score for cell in planned.cells}) == 2
    assert "match" not in trial.name


def test_targets_are_scored_in_place_of_the_own_data():
    target = Target("c", Data(root="/data/c"), Evaluate(short_side=100))
    planned = plan(space(), [A], targets=[target], seeds=(0,))
    (trial,) = planned.trials
    assert [score.data.root for score in trial.scores] == ["/data/c"]
    assert trial.recipe.data.root == "/data/a"
    assert planned.cells[0].where["target"] == "c"


def test_spectral_methods_share_the_trial_of_a_point():
    color = Axis("spectral.color_weight", "grid", (0, float("inf")))
    boxes = space(color, methods=("localize", "lost"), metrics=("corloc",))
    planned = plan(boxes, [A], seeds=(0, 1))
    assert [trial.kind for trial in planned.trials] == ["spectral"] * 4
    assert {trial.methods for trial in planned.trials} == {("localize", "lost")}
    assert (len(planned.cells), len({cell.score for cell in planned.cells})) == (8, 1)
    last = planned.trials[-1]
    assert "color_weight=inf_seed=1" in last.name
    assert (last.recipe.spectral.color_weight, last.recipe.train.seed) == (float("inf"), 1)


def test_spectral_trials_see_images_backbone_and_their_own_section():
    boxes = space(methods=("semantic",), metrics=("miou",))
    (trial,) = plan(boxes, [A], seeds=(0,)).trials
    for other, same in (
        (replace(BASE, train=Train(epochs=9)), True),
        (replace(BASE, graph=Graph(alpha=0.7)), True),
        (replace(BASE, evaluate=Evaluate(crop=64)), True),
        (replace(BASE, spectral=Spectral(num_segments=4)), False),
        (replace(BASE, kmeans=KMeans(max_points=999)), False),
    ):
        (found,) = plan(boxes, [replace(A, recipe=other)], seeds=(0,)).trials
        assert (found == trial) == same
    assert trial.recipe.train == Train()


def test_k_may_follow_the_classes():
    planned = plan(space(clusters="classes"), [A, B], seeds=(0,))
    assert [trial.recipe.eigen.num_eigenfunctions for trial in planned.trials] == [7, 5]
    with pytest.raises(UserError, match=r"a does not name them; add a classes\.txt"):
        plan(space(clusters="classes"), [replace(A, num_classes=None)], seeds=(0,))


def test_a_point_that_makes_no_recipe_is_named():
    wrong = Axis("train.num_workers", "grid", (64,))
    with pytest.raises(UserError, match=r"train\.num_workers must be <= train\.batch_size"):
        plan(space(wrong), [A], seeds=(0,))


def test_names_follow_from_what_a_trial_depends_on():
    (name,) = {trial.name for trial in plan(space(), [A], seeds=(0,)).trials}
    scored_otherwise = replace(A, recipe=replace(BASE, evaluate=Evaluate(crop=64)))
    assert {t.name for t in plan(space(), [scored_otherwise], seeds=(0,)).trials} == {name}
    for other in (
        replace(BASE, train=Train(epochs=4)),
        replace(BASE, data=Data(root="/elsewhere/a")),
        replace(BASE, kmeans=KMeans(iterations=3)),
    ):
        assert {t.name for t in plan(space(), [replace(A, recipe=other)], seeds=(0,)).trials} != {
            name
        }
    stored = replace(BASE, train=replace(BASE.train, store="/somewhere"))
    assert identity(stored, "ours") == identity(BASE, "ours")


def test_names_are_fit_for_folders():
    odd = DataSet("a b/ü", BASE)
    axis = Axis("data.scale", "grid", ([0.5, 2.0],))
    (trial,) = plan(space(axis), [odd], seeds=(0,)).trials
    assert "/" not in trial.name
    assert " " not in trial.name


def test_score_keys_tell_data_and_protocol():
    keys = {
        score_key(BASE),
        score_key(replace(BASE, evaluate=Evaluate(crf=True))),
        score_key(replace(BASE, data=Data(root="/other"))),
    }
    assert len(keys) == 3
    assert score_key(replace(BASE, train=Train(seed=5))) == score_key(BASE)


def test_who_asks_for_a_crf_without_it_learns_so_before_anything_is_trained(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    after = DataSet("sample", replace(BASE, evaluate=Evaluate(crf=True)))
    with pytest.raises(UserError, match="pip install 'raynef"):
        with_crf_columns(read_space("alpha"), [after], [])
