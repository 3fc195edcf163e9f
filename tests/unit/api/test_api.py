"""The commands as functions: what a notebook does, from a folder of images to segments."""

import io
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import raynef
from raynef.cluster.place import this_process
from raynef.core.errors import UserError
from raynef.models.segmenter import Segmentation
from raynef.report.palette import palette
from tests.tiny import change


@pytest.fixture(autouse=True)
def few_threads(without_ray):
    """Nothing here needs Ray."""


@pytest.fixture(scope="module")
def run(run_here, one_thread):
    with this_process():
        return raynef.train(raynef.Run(run_here[0]).recipe, run_here[0], logger="none")


def test_a_recipe_by_keywords(tmp_path):
    recipe = raynef.recipe_of(
        tmp_path / "photos",
        ["folder", "dino_s16"],
        train={"epochs": 3},
        eigen={"num_eigenfunctions": 64},
    )
    assert recipe.data.root == str(tmp_path / "photos")
    assert (recipe.train.epochs, recipe.eigen.num_eigenfunctions) == (3, 64)
    assert recipe.backbone.name.startswith("vit_small_patch16")
    with pytest.raises(UserError, match=r"did you mean train\.epochs"):
        raynef.recipe_of(tmp_path, train={"epoch": 3})
    with pytest.raises(UserError, match=r"did you mean train\?"):
        raynef.recipe_of(tmp_path, trian={"epochs": 3})
    with pytest.raises(UserError, match=r"train\.epochs"):
        raynef.recipe_of(tmp_path, train={"epochs": "three"})


def test_a_training_is_logged_where_it_is_asked_to_be(run_here, tmp_path):
    recipe = raynef.Run(run_here[0]).recipe
    runs = [Path(shutil.copytree(run_here[0], tmp_path / name)) for name in ("none", "by default")]
    raynef.train(recipe, runs[0], logger="none")
    raynef.train(recipe, runs[1])
    assert [(run / "tensorboard").is_dir() for run in runs] == [False, True]
    with pytest.raises(UserError, match="no logger 'tensorbord'"):
        raynef.train(recipe, runs[1], logger="tensorbord")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match="none contradicts mlflow"):
        raynef.train(recipe, runs[1], logger="none", mlflow="http://server")


def test_training_gives_a_run_that_stands_for_its_path(run, run_here):
    assert (str(run.path), Path(run)) == (str(run_here[0]), run_here[0])
    assert run.result == run_here[1]
    assert run.recipe.eigen.num_eigenfunctions == 12
    assert run.segmenter is run.segmenter
    assert run.segmenter.num_clusters == 12
    assert str(run_here[0]) in run._repr_html_()
    assert "<td>10</td>" in run._repr_html_()  # images
    assert raynef.Run(run_here[0]).result == run.result
    with pytest.raises(UserError, match="is not a raynef run"):
        raynef.Run(run_here[0] / "store")


def test_the_page_is_written_once(run):
    page = run.report
    before = page.stat().st_mtime_ns
    assert run.report.stat().st_mtime_ns == before


def test_prediction_and_scores_take_a_run(run, sample, tmp_path):
    result = raynef.predict(run, sample / "images" / "val_00000.jpg", tmp_path / "out", cut=4)
    assert (result["num_images"], result["num_clusters"]) == (1, 4)
    scores = raynef.evaluate(run)
    assert scores["num_images"] == 4
    origin = raynef.Segmenter.load(run).origin
    assert origin is not None
    assert (origin.method, origin.num_images) == ("eigenfunctions, head trained", 10)
    assert origin.versions["raynef"] == raynef.__version__
    assert origin.evaluated is not None
    assert (origin.evaluated.miou, origin.evaluated.num_images) == (scores["miou"], 4)


def test_a_sweep_is_that_of_the_command(sample, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "raynef.cli.tune.Tune.execute", lambda command: asked.append(command) or {"ok": True}
    )
    done = raynef.tune(
        "alpha",
        sample,
        out=tmp_path / "alpha",
        seeds=(0, 1),
        max_concurrent=1,
        train={"epochs": 2},
        data={"scale": (0.5, 1.0), "photometric": False},
    )
    assert done == {"ok": True}
    (command,) = asked
    assert (command.seeds, command.out) == ((0, 1), tmp_path / "alpha")
    (data,) = command.asked.data
    assert (data.recipe.train.epochs, data.recipe.data.scale) == (2, (0.5, 1.0))
    assert not data.recipe.data.photometric
    assert data.recipe.data.root == str(sample)


def test_it_says_what_it_does_unless_somebody_listens(run, sample, tmp_path, capsys, monkeypatch):
    photo = sample / "images" / "val_00000.jpg"
    monkeypatch.setattr(logging.getLogger("raynef"), "propagate", False)
    raynef.predict(run, photo, tmp_path / "one")
    assert "predict: 1 images" in capsys.readouterr().err
    handler = logging.NullHandler()
    logging.getLogger("raynef").addHandler(handler)
    raynef.predict(run, photo, tmp_path / "two")
    logging.getLogger("raynef").removeHandler(handler)
    assert capsys.readouterr().err == ""


def test_a_segmentation_draws_itself(run, sample):
    found = run.segmenter(sample / "images" / "val_00000.jpg")
    with Image.open(io.BytesIO(found._repr_png_())) as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), found.overlay())
    assert found.overlay().shape == (96, 128, 3)
    assert found.eigenfunctions.values.shape[0] == run.segmenter.num_clusters
    bare = Segmentation(found.clusters)
    np.testing.assert_array_equal(bare.overlay(), palette(12)[found.clusters])


def test_masks_and_shares():
    clusters = np.array([[0, 0, 2], [5, 5, 5]], dtype=np.uint16)
    plain = Segmentation(clusters)
    assert plain.shares() == {5: 0.5, 0: pytest.approx(1 / 3), 2: pytest.approx(1 / 6)}
    assert plain.masks()[2].tolist() == [[False, False, True], [False] * 3]
    classes = np.array([[1, 1, -1], [0, 0, 0]], dtype=np.int16)
    named = Segmentation(clusters, classes, ("grass", "cow"))
    assert named.shares() == {"grass": 0.5, "cow": pytest.approx(1 / 3)}
    assert named.masks()["cow"].tolist() == [[True, True, False], [False] * 3]


def test_a_whole_recipe_is_taken_too(run, recipe, tmp_path):
    stored = change(recipe, train={"store": str(run.path / "store"), "epochs": 1})
    longer = raynef.train(stored, tmp_path / "run", init_from=run)
    assert longer.result["init_from"] == str(run.path)


def test_a_run_knows_the_names_that_it_was_given_since(run, sample, tmp_path):
    named = raynef.Run(shutil.copytree(run.path, tmp_path / "run"))
    photo = sample / "images" / "val_00000.jpg"
    largest = int(np.bincount(named.segmenter(photo).clusters.ravel()).argmax())
    raynef.evaluate(named)
    assert all(isinstance(name, str) for name in named.segmenter(photo).shares())
    result = raynef.name(named, {largest: "most of it"})
    assert result["names"] == {str(largest): "most of it"}
    assert list(named.segmenter(photo).shares()) == ["most of it"]
    assert raynef.name(named.path, {})["names"] == result["names"]
    with pytest.raises(UserError, match="cluster 99"):
        raynef.name(named, {99: "sky"})
    with pytest.raises(UserError, match=r"clusters go by number, got \['sky'\]"):
        raynef.name(named, {"sky": "water"})  # pyright: ignore[reportArgumentType]
