"""Sweeps of Deep Spectral Methods: what trials share, and what becomes of their scores."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from raynef.cluster.place import this_process
from raynef.core.errors import UserError
from raynef.images.datasets.registry import open_split
from raynef.io.files import read_json
from raynef.jobs.spectral import solve as solve_module
from raynef.jobs.spectral.features import WholeImageActor
from raynef.jobs.spectral.segments import CropActor
from raynef.sweeps.request import opened, require_truth
from raynef.sweeps.search import FixedTrials
from raynef.sweeps.shared import make_shared, most_eigenvectors, same_stores
from raynef.sweeps.space import Axis, Space
from raynef.sweeps.sweep import DataSet, plan
from raynef.sweeps.sweep_folder import record_of
from raynef.sweeps.sweep_report import write_sweep_report
from raynef.sweeps.table import write_tables
from raynef.sweeps.trials import Job, run_trial
from tests.tiny import change
from tests.unit.jobs.spectral.test_spectral import boxes_of, masks_of

pytestmark = pytest.mark.usefixtures("one_thread")

INF = float("inf")
COLOR = Axis("spectral.color_weight", "grid", (0, 10, INF))


def space(*axes, methods, metrics, **fields):
    fields = {"rows": ("data",), **fields}
    return Space("test", "A test", axes=axes, methods=methods, metrics=metrics, **fields)


@pytest.fixture(scope="module")
def boxes(whole, tmp_path_factory):
    """Squares with their boxes."""
    root = boxes_of(tmp_path_factory.mktemp("boxes") / "voc")
    data = {"name": "voc_boxes", "root": str(root), "train_split": "trainval"}
    return change(whole, data=data)


@pytest.fixture
def counted(monkeypatch):
    """Images that the backbone saw whole, image crops that it saw, and eigenproblems."""
    seen = {"whole": 0, "crops": 0, "solved": 0}

    def counting(owner, name, key):
        original = getattr(owner, name)

        def count(*args, **kwargs):
            seen[key] += len(args[1] if key != "solved" else args[0])
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, count)

    counting(WholeImageActor, "run", "whole")
    counting(CropActor, "pooled", "crops")
    counting(solve_module, "solved", "solved")
    return seen


@pytest.fixture
def run_here(monkeypatch):
    """All of a sweep but Ray Tune, in this process."""
    monkeypatch.setattr("raynef.sweeps.trials.tune.report", lambda values: None)

    def run(asked, recipe, out, *, seeds=(0,)):
        data = [DataSet("sample", recipe)]
        planned = plan(asked, data, seeds=seeds)
        trials = FixedTrials(planned, out)
        with this_process():
            opened(asked, data[0])
            make_shared(trials, out, spectral=True)
            job = Job(out, trials.resolve, num_eigenvectors=most_eigenvectors(trials))
            for name in trials.param_space()["trial"]["grid_search"]:
                run_trial({"trial": name}, job)
        record_of(asked, data, (), seeds).write(out, planned)
        return [read_json(out / "trials" / trial.name / "result.json") for trial in planned.trials]

    return run


def test_an_axis_of_colors_makes_features_once(boxes, run_here, counted, tmp_path):
    asked = space(
        COLOR,
        methods=("localize", "lost"),
        metrics=("corloc",),
        rows=("method",),
        columns=COLOR.key,
        values=({"data": "voc_boxes", "method": "localize", "corloc": [57.7, 61.2, None]},),
        paper="Table 7",
    )
    results = run_here(asked, boxes, tmp_path)
    assert counted == {"whole": 5, "crops": 0, "solved": 3 * 5}
    assert len(list((tmp_path / "features").iterdir())) == 1
    assert len(list((tmp_path / "spectral").iterdir())) == 3
    *_, colors = results
    ours, lost = colors["scores"]
    assert (ours["method"], ours["corloc"], ours["num_images"]) == ("localize", 1.0, 4)
    assert (lost["method"], lost["run"]) == ("lost", "run/localize")
    assert len({result["scores"][1]["corloc"] for result in results}) == 1  # LOST sees no color

    def refuse(text):
        pytest.fail(f"{text} is no JSON")

    for file in (tmp_path / "sweep.json", *tmp_path.glob("trials/*/*.json")):
        json.loads(file.read_text(), parse_constant=refuse)
    written = write_tables(tmp_path)
    text = Path(written["table"]).read_text()
    assert "| method | λ = 0 | λ = 10 | λ = ∞ |" in text
    assert "**[100.0](trials/sample_spectral_color_weight=inf_seed=0_" in text
    assert "(57.7)" in text
    assert "scored on sample (4 images)" in text
    assert "$\\lambda$ = $\\infty$" in Path(written["latex"]).read_text()
    rows = list(csv.DictReader(Path(written["csv"]).read_text().splitlines()))
    best = next(r for r in rows if (r["method"], r[COLOR.key]) == ("localize", "inf"))
    assert (best["corloc"], best["paper_corloc"]) == ("100.0000", "")


def test_the_report_of_a_spectral_sweep(boxes, run_here, tmp_path):
    asked = space(COLOR, methods=("localize",), metrics=("corloc",), columns=COLOR.key)
    run_here(asked, boxes, tmp_path)
    page = Path(write_sweep_report(tmp_path)["report"]).read_text()
    assert page.count("/run/localize/localize.html") >= 2 * 3
    assert "CorLoc over λ" in page  # of the two weights that are finite
    assert "CorLoc 100.0" in page
    assert "leave no segmenter" in page
    assert "Training" not in page


def test_a_finished_sweep_is_found_again(boxes, run_here, counted, tmp_path):
    asked = space(COLOR, methods=("localize",), metrics=("corloc",))
    first = run_here(asked, boxes, tmp_path)
    before = dict(counted)
    assert run_here(asked, boxes, tmp_path) == first
    assert counted == before
    more = dataclasses.replace(asked, methods=("localize", "lost"))
    found = run_here(more, boxes, tmp_path)
    assert counted == before
    assert [len(result["scores"]) for result in found] == [2, 2, 2]


def test_an_axis_of_features_makes_one_store_each(boxes, run_here, counted, tmp_path):
    feature = Axis("spectral.feature", "grid", ("key", "token"))
    run_here(space(feature, methods=("lost",), metrics=("corloc",)), boxes, tmp_path)
    assert counted["whole"] == 2 * 5
    assert len(list((tmp_path / "features").iterdir())) == 2


def test_clusters_and_eigenvectors_share_eigenpairs(whole, run_here, counted, tmp_path):
    clusters = Axis("spectral.num_clusters", "grid", (3, 4))
    vectors = Axis("spectral.num_eigenvectors", "grid", (2, 6))
    asked = space(
        vectors,
        clusters,
        methods=("semantic", "cluster_patch"),
        metrics=("miou", "miou_majority"),
        rows=("method", "metric", vectors.key),
        columns=clusters.key,
    )
    results = run_here(asked, whole, tmp_path, seeds=(0, 1))
    assert (counted["whole"], counted["solved"]) == (10, 10)
    # Segments with their features: for each number of eigenvectors and seed, not for each K.
    (stores,) = (tmp_path / "spectral").iterdir()
    assert len(list(stores.glob("segments-*"))) == 4
    assert counted["crops"] <= 10 * 4 * 4
    assert len(results) == 8
    runs = [score["run"] for score in results[0]["scores"]]
    assert runs == ["run/semantic", "run/cluster_patch"]
    text = Path(write_tables(tmp_path)["table"]).read_text()
    assert "| DSM | mIoU, majority (%) | 2 |" in text
    assert "| method | metric | m | K = 3 | K = 4 |" in text


def test_the_criterion_of_hungarian_is_an_axis(whole, run_here, counted, tmp_path):
    """Of the same segments, with the same labels."""
    criterion = Axis("spectral.hungarian", "grid", ("iou", "count"))
    asked = space(criterion, methods=("semantic",), metrics=("miou",), columns=criterion.key)
    results = run_here(asked, whole, tmp_path)
    by_iou, by_count = (result["scores"][0] for result in results)
    assert by_iou["miou"] >= by_count["miou"]
    assert by_iou["accuracy"] <= by_count["accuracy"]
    assert by_iou["miou_majority"] == by_count["miou_majority"]
    assert (counted["whole"], counted["solved"]) == (10, 10)
    assert len(list(tmp_path.glob("spectral/*/segments-*"))) == 1
    named = [
        read_json(path)["hungarian"]
        for path in sorted(tmp_path.glob("trials/*/run/semantic/semantic.json"))
    ]
    assert named == ["count", "iou"]
    table = Path(write_tables(tmp_path)["table"]).read_text()
    assert "hungarian = iou | hungarian = count" in table


def test_few_of_many_eigenvectors_score_as_these_alone(whole, run_here, tmp_path):
    vectors = Axis("spectral.num_eigenvectors", "grid", (2, 6))
    asked = space(vectors, methods=("semantic",), metrics=("miou",))
    shared = run_here(asked, whole, tmp_path / "shared")[0]
    alone = dataclasses.replace(asked, axes=(Axis(vectors.key, "grid", (2,)),))
    (own,) = run_here(alone, whole, tmp_path / "own")
    assert own["scores"][0]["miou"] == pytest.approx(shared["scores"][0]["miou"], abs=0.02)


def test_masks_of_objects(whole, run_here, tmp_path):
    """Of a yellow rectangle; the sample has more than two classes, which make no mask."""
    asked = space(methods=("object",), metrics=("miou",), columns="metric")
    data = {"name": "ecssd", "root": str(masks_of(tmp_path / "ECSSD"))}
    recipe = change(whole, data=data, spectral={"color_weight": INF})
    (result,) = run_here(asked, recipe, tmp_path / "sweep")
    (score,) = result["scores"]
    assert (score["num_images"], score["run"]) == (3, "run/object")
    assert score["miou"] > 0.95
    page = Path(write_sweep_report(tmp_path / "sweep")["report"]).read_text()
    assert "/run/object/object.html" in page
    with pytest.raises(UserError, match="no masks of two classes"):
        run_here(asked, whole, tmp_path / "other")


def test_what_a_method_is_scored_on_is_looked_for(whole, boxes):
    images = open_split(whole.data, "train")
    with pytest.raises(UserError, match="have no boxes"):
        require_truth(("lost",), images)
    require_truth(("semantic", "cluster_seg"), images)
    squares = open_split(boxes.data, "trainval")
    require_truth(("localize", "lost"), squares)
    with pytest.raises(UserError, match="have no label"):
        require_truth(("cluster_patch",), squares)


def test_what_trials_share(whole):
    def same(**fields):
        return same_stores(change(whole, spectral=fields)) == same_stores(whole)

    assert same(num_clusters=9)
    assert same(num_eigenvectors=9, background="largest")
    assert not same(color_weight=0.0)
    assert same_stores(change(whole, train={"seed": 3})) == same_stores(whole)
