"""Whole evaluations: which labels name the clusters, what is kept where."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raynef.assign.matching import match, score
from raynef.core.errors import UserError
from raynef.eigen.psi import AttentionPsi
from raynef.features.backbone import NUM_TAPS, load_backbone
from raynef.images.datasets.registry import open_split
from raynef.jobs.evaluate import evaluate
from raynef.models.heads import LinearHead
from raynef.models.segmenter import Mapping, Segmenter
from raynef.segment.edges import near_edges
from raynef.stores.run import RunFolder, bind
from raynef.work.maps import CountingActor
from raynef.work.reading import Scoring, read_examples
from raynef.work.units import ImageUnit
from tests.known import present
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture
def a_run(recipe, tmp_path):
    """Makes the folder of a run with a random head; no training."""

    def make(**options) -> Path:
        out = tmp_path / "run"
        bind_recipe(out, recipe)
        backbone = load_backbone(recipe.backbone)
        head = options.pop("head", None) or AttentionPsi(NUM_TAPS * backbone.dim, 12)
        Segmenter(backbone, head, backbone_config=recipe.backbone, short_side=64, **options).save(
            out / "segmenter"
        )
        return out

    return make


def bind_recipe(out, recipe):
    out.mkdir()
    bind(RunFolder(out), recipe)


def table(out, recipe, split, num_clusters=12):
    """Clusters against classes of a split, by the functions beneath."""
    images = open_split(recipe.data, split)
    scoring = Scoring(recipe.evaluate, None, (1, num_clusters, len(images.class_names)))
    examples = read_examples(ImageUnit(range(len(images.files)), images.files), scoring=scoring)
    return CountingActor(str(out), "cpu", scoring=scoring)(examples).tables[0]


def saved(out, name="evaluate.json"):
    return json.loads((out / name).read_text())


def test_clusters_named_by_the_validation_images(a_run, recipe):
    out = a_run()
    recipe = change(recipe, evaluate={"protocol": "sliding", "window": 48, "stride": 32})
    result = evaluate(out, recipe=recipe)
    counted = table(out, recipe, "val")
    expected = score(counted, match(counted, "iou"))
    assert result["miou"] == pytest.approx(expected.miou, abs=1e-3)
    assert result["accuracy"] == pytest.approx(expected.accuracy, abs=1e-3)
    assert result["num_images"] == 4
    assert result["protocol"].startswith("sliding: short side 64, windows of 48 every 32")
    assert result["matching"] == "majority by IoU, fitted on the val images that are scored"
    assert result["data"] == {"name": "folder", "root": recipe.data.root, "split": "val"}
    assert result["trained_on"] == {"name": "folder", "root": recipe.data.root}
    assert (result["zero_shot"], result["supervised"], result["labels_leaked"]) == (False,) * 3
    assert result["seconds"] > 0
    assert result["images_per_second"] > 0
    assert "crf" not in result
    assert saved(out).items() >= {**result, "class_names": saved(out)["class_names"]}.items()
    classes = np.array(present(Segmenter.load(out).mapping).classes)
    np.testing.assert_array_equal(classes, match(counted, "iou"))


def test_clusters_named_by_the_training_images_and_scored_after_a_crf(
    a_run, recipe, copy_of_sample
):
    """A bad file in each split is counted; a training image without a label names nothing."""
    bad = [copy_of_sample / "images" / f"{split}_00001.jpg" for split in ("train", "val")]
    for path in bad:
        path.write_bytes(b"no image")
    (copy_of_sample / "labels" / "train_00002.png").unlink()
    recipe = change(recipe, data={"root": str(copy_of_sample)}, evaluate={"match_on": "train"})
    out = a_run()
    result = evaluate(out, recipe=change(recipe, evaluate={"crf": True, "crf_clusters": 6}))
    assert list(result["skipped"]) == ["val_00001.jpg"]
    assert list(result["named_by"]["skipped"]) == ["train_00001.jpg"]
    assert (result["num_images"], result["named_by"]["num_images"]) == (3, 8)
    assert result["matching"].endswith("fitted on images of the training split")
    kept = [f"train_0000{i}" for i in (0, *range(3, 10))]
    (copy_of_sample / "train.txt").write_text("\n".join(kept))
    classes = match(table(out, recipe, "train"), "iou")
    expected = score(table(out, recipe, "val"), classes)
    assert result["miou"] == pytest.approx(expected.miou, abs=1e-3)
    assert set(result["crf"]) == {"miou", "accuracy", "per_class_iou", "protocol"}
    assert "6 most probable" in result["crf"]["protocol"]
    assert result["crf"]["accuracy"] != result["accuracy"]
    assert abs(result["crf"]["accuracy"] - result["accuracy"]) < 0.2


def test_other_data_have_a_file_of_their_own(a_run, recipe, copy_of_sample):
    out = a_run()
    other = change(recipe, data={"root": str(copy_of_sample)})
    for path in (copy_of_sample / "labels").iterdir():  # what was class 0 is class 1 there
        with Image.open(path) as label:
            swapped = np.array([1, 0, *range(2, 256)], dtype=np.uint8)[np.asarray(label)]
        Image.fromarray(swapped).save(path)
    first = evaluate(out, recipe=other)
    assert first["zero_shot"]
    assert first["data"]["root"] == str(copy_of_sample)
    assert first["trained_on"]["root"] == recipe.data.root
    assert not (out / "evaluate.json").exists()
    (file,) = out.glob("evaluate-folder-copy-*.json")
    by_others = Segmenter.load(out).mapping  # the first labels that it sees name its clusters
    evaluate(out)
    own, before = Segmenter.load(out).mapping, (out / "evaluate.json").read_text()
    assert own != by_others
    assert saved(out, file.name)["zero_shot"]
    evaluate(out, recipe=other)
    assert Segmenter.load(out).mapping == own
    assert (out / "evaluate.json").read_text() == before
    assert len(list(out.glob("evaluate-*.json"))) == 1


def test_a_supervised_head_is_never_matched(a_run, recipe, copy_of_sample, caplog):
    names = tuple(Path(recipe.data.root, "classes.txt").read_text().split())
    backbone = load_backbone(recipe.backbone)
    torch.manual_seed(0)
    head = LinearHead(backbone.dim, len(names))
    mapping = Mapping(tuple(range(len(names))), names)
    out = a_run(head=head, mapping=mapping, supervised=True, labels_leaked=True)
    caplog.set_level(logging.INFO, "raynef")
    result = evaluate(out, recipe=change(recipe, evaluate={"match_on": "train"}))
    assert result["supervised"]
    assert result["labels_leaked"]
    assert "labels leaked" in caplog.text
    assert result["matching"].startswith("none")
    assert "named_by" not in result
    counted = table(out, recipe, "val", num_clusters=len(names))
    expected = score(counted, np.arange(len(names)))
    assert result["miou"] == pytest.approx(expected.miou, abs=1e-3)
    assert Segmenter.load(out).mapping == mapping
    (copy_of_sample / "classes.txt").write_text("\n".join(f"other{i}" for i in range(len(names))))
    with pytest.raises(UserError, match="is of the classes"):
        evaluate(out, recipe=change(recipe, data={"root": str(copy_of_sample)}))


def test_training_images_without_labels_cannot_name_clusters(a_run, recipe, copy_of_sample):
    for path in (copy_of_sample / "labels").glob("train_*"):
        path.unlink()
    recipe = change(recipe, data={"root": str(copy_of_sample)}, evaluate={"match_on": "train"})
    with pytest.raises(UserError, match=r"none of the 10 training images .*match-on val"):
        evaluate(a_run(), recipe=recipe)


def test_classes_without_names_are_numbered(a_run, recipe, copy_of_sample):
    (copy_of_sample / "classes.txt").unlink()
    result = evaluate(a_run(), recipe=change(recipe, data={"root": str(copy_of_sample)}))
    assert list(result["per_class_iou"])[:2] == ["class_0", "class_1"]
    assert len(result["per_class_iou"]) <= 10


@pytest.mark.parametrize("crf", [False, True])
def test_what_lies_near_edges_is_scored_apart(a_run, recipe, crf):
    out = a_run()
    recipe = change(recipe, evaluate={"boundary": 2, "crf": crf})
    result = evaluate(out, recipe=recipe)
    images = open_split(recipe.data, "val")
    shape = (1, 12, len(images.class_names))
    near = np.zeros(shape[1:], dtype=np.int64)
    segmenter = Segmenter.load(out)
    scoring = Scoring(recipe.evaluate, None, shape)
    for example in read_examples(ImageUnit(range(4), images.files), scoring=scoring).examples:
        clusters = segmenter.clusters(example.small[None])[0]
        band = near_edges(example.label, 2)
        np.add.at(near, (clusters[band], example.label[band]), 1)
    whole = table(out, change(recipe, evaluate={"crf": False}), "val")
    classes = match(whole, "iou")
    apart = result["boundary"]
    assert apart["pixels"] == 2
    assert apart["share"] == pytest.approx(near.sum() / whole.sum())
    assert 0.1 < apart["share"] < 0.9
    for name, part in (("near", near), ("away", whole - near)):
        expected = score(part, classes)
        assert apart[name]["miou"] == pytest.approx(expected.miou, abs=2e-3)
        assert apart[name]["accuracy"] == pytest.approx(expected.accuracy, abs=2e-3)
    assert crf == ("crf" in result)
    if crf:
        assert result["crf"]["boundary"]["share"] == apart["share"]


def test_edges_are_not_scored_unasked(a_run, recipe):
    assert "boundary" not in evaluate(a_run(), recipe=recipe)
