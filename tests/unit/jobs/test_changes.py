"""The same folder again, with something changed: images, epochs, fields, and where it starts."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

import raynef
from raynef.config.recipe import (
    NEVER_SHAPES,
    Data,
    Eigen,
    Evaluate,
    Graph,
    Recipe,
    Train,
    may_change,
    to_dict,
)
from raynef.core.errors import UserError
from raynef.io.files import read_json, write_json
from raynef.jobs.evaluate import evaluate
from raynef.jobs.kmeans import kmeans, kmeans_psi
from raynef.jobs.report import write_report
from raynef.jobs.train import train
from raynef.sweeps.runs import make
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture(scope="module")
def recipe(sample) -> Recipe:
    """Small: each of these runs writes its checkpoints."""
    return Recipe(
        data=Data(root=str(sample), short_side=64, crop=64, num_views=1),
        graph=Graph(num_neighbors=12, search="blocks"),
        eigen=Eigen(num_eigenfunctions=12, num_blocks=1),
        train=Train(batch_size=5, epochs=2),
        evaluate=Evaluate(short_side=64, crop=64),
    )


class Killed(Exception):
    pass


def kill_after(epoch):
    def hook(summary, _trainer):
        if summary["epoch"] == epoch:
            raise Killed

    return hook


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "steps.jsonl").read_text().splitlines()]


def weights(run):
    return (run / "segmenter" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(one_thread, recipe, tmp_path_factory):
    """A finished run of two epochs, scored; tests work on copies of it."""
    from raynef.cluster.place import this_process

    out = tmp_path_factory.mktemp("finished") / "run"
    with this_process():
        train(recipe, out)
        evaluate(out)
    return out


@pytest.fixture
def run(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def own(recipe, copy_of_sample):
    """The recipe on images that a test may change."""
    return change(recipe, data={"root": str(copy_of_sample)})


def add_image(root: Path, name: str, split: str = "train") -> None:
    shutil.copy(root / "images" / "val_00000.jpg", root / "images" / f"{name}.jpg")
    (root / f"{split}.txt").write_text((root / f"{split}.txt").read_text() + f"{name}\n")


# ------------------------------------------------------------------------------------------ images


def test_a_finished_run_names_what_changed_and_keeps_its_result(
    own, copy_of_sample, tmp_path, caplog
):
    out = tmp_path / "run"
    result = train(own, out)
    assert train(own, out) == result
    add_image(copy_of_sample, "new")
    first = copy_of_sample / "images" / "train_00000.jpg"
    first.write_bytes(first.read_bytes() + b"\0")
    listed = copy_of_sample / "train.txt"
    listed.write_text(listed.read_text().replace("train_00003\n", ""))
    caplog.clear()
    again = train(own, out)
    found = again.pop("input_changed")
    assert again == result == read_json(out / "train.json")
    words = "1 added (new.jpg), 1 removed (train_00003.jpg), 1 changed (train_00000.jpg)"
    assert found == {"added": 1, "removed": 1, "changed": 1, "in_words": words}
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warned) == 1
    assert words in warned[0]
    assert "--init-from" in warned[0]
    assert "another --out" in warned[0]


def test_the_order_of_the_images_counts_and_many_are_counted(own, copy_of_sample, tmp_path):
    out, listed = tmp_path / "run", copy_of_sample / "train.txt"
    train(own, out)
    names = listed.read_text().split()
    listed.write_text("\n".join(names[::-1]))
    assert train(own, out)["input_changed"]["in_words"] == "listed in another order"
    listed.write_text("\n".join(names))
    for name in "abcde":
        add_image(copy_of_sample, name, "train")
        listed.write_text(listed.read_text().replace(f"{names[-1]}{name}", f"{names[-1]}\n{name}"))
    found = train(own, out)["input_changed"]
    assert found["in_words"] == "5 added (a.jpg, b.jpg, c.jpg and 2 more)"


def test_an_unfinished_run_of_other_images_is_refused_by_name(own, copy_of_sample, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Killed):
        train(own, out, on_epoch=kill_after(1))
    before = (out / "run.json").read_bytes()
    add_image(copy_of_sample, "new")
    with pytest.raises(UserError, match=r"began: 1 added \(new\.jpg\)\. Its features and checkp"):
        train(own, out)
    assert (out / "run.json").read_bytes() == before
    with pytest.raises(UserError, match=r"1 added \(new\.jpg\)"):
        train(change(own, train={"epochs": 3}), out)


def test_longer_on_other_images_is_refused_before_the_result_moves(own, copy_of_sample, tmp_path):
    out = tmp_path / "run"
    train(own, out)
    add_image(copy_of_sample, "new")
    with pytest.raises(UserError, match=r"1 added \(new\.jpg\)"):
        train(change(own, train={"epochs": 3}), out)
    assert (out / "train.json").is_file()
    assert not (out / "before").exists()


def test_a_run_from_before_there_was_a_list_is_compared_by_its_store(own, copy_of_sample, tmp_path):
    out = tmp_path / "run"
    result = train(own, out)
    (out / "images.jsonl").unlink()
    assert train(own, out) == result
    add_image(copy_of_sample, "new")
    found = train(own, out)["input_changed"]
    assert found["in_words"] == "the image files: 10 there, 11 here"


def test_a_finished_run_outlives_its_images(own, copy_of_sample, tmp_path, caplog):
    out = tmp_path / "run"
    result = train(own, out)
    shutil.rmtree(copy_of_sample)
    assert train(own, out) == result
    assert "cannot be compared" in caplog.text


def test_a_baseline_names_what_changed_too_and_a_table_takes_no_stale_run(
    own, copy_of_sample, tmp_path
):
    out = tmp_path / "kmeans"
    result = kmeans(own, out)
    assert make("kmeans", own, out) == out
    add_image(copy_of_sample, "new")
    again = kmeans(own, out)
    assert again.pop("input_changed")["added"] == 1
    assert again == result
    with pytest.raises(UserError, match=r"made of other images: 1 added \(new\.jpg\)"):
        make("kmeans", own, out)


# ------------------------------------------------------------------------------------------ epochs


def test_more_epochs_go_on_from_the_last_checkpoint(run, finished, recipe):
    longer = change(recipe, train={"epochs": 4})
    epochs = []
    result = train(longer, run, on_epoch=lambda s, _: epochs.append(s["epoch"]))
    assert epochs == [3, 4]
    assert result["lengths"] == [{"epochs": 2, "from_step": 0}, {"epochs": 4, "from_step": 4}]
    assert (result["epochs"], result["steps"]) == (4, 8)
    assert losses(run)[:4] == losses(finished)
    assert read_json(run / "run.json")["lengths"] == [2, 4]
    assert read_json(run / "run.json")["recipe"]["train"]["epochs"] == 4
    assert weights(run) != weights(finished)
    # What the two epochs made is kept, and nothing of it stands for the four.
    kept = run / "before" / "2"
    assert (kept / "segmenter/model.safetensors").read_bytes() == weights(finished)
    assert read_json(kept / "train.json")["epochs"] == 2
    assert (kept / "evaluate.json").is_file()
    assert not (run / "evaluate.json").exists()
    assert raynef.Segmenter.load(run).mapping is None
    assert train(longer, run) == result


def test_the_schedule_is_that_of_the_new_length_from_there_on(run, recipe, tmp_path):
    longer = change(recipe, train={"epochs": 4})
    train(longer, run)
    whole = tmp_path / "whole"
    train(change(longer, train={"store": str(run / "store")}), whole)

    def schedule(folder, name):
        lines = (folder / "steps.jsonl").read_text().splitlines()
        return [json.loads(line)[name] for line in lines]

    for name in ("tau", "lr"):
        assert schedule(run, name)[4:] == schedule(whole, name)[4:]
        assert schedule(run, name)[3] == {"tau": 0.3, "lr": 1e-5}[name]
        assert schedule(run, name)[4] > schedule(run, name)[3]


def test_a_lengthened_run_that_is_killed_resumes_to_the_same_weights(run, recipe, tmp_path):
    longer, killed = change(recipe, train={"epochs": 5}), tmp_path / "killed"
    shutil.copytree(run, killed)
    result = train(longer, run)
    with pytest.raises(Killed):
        train(longer, killed, on_epoch=kill_after(3))
    assert train(longer, killed)["lengths"] == result["lengths"]
    np.testing.assert_allclose(losses(killed), losses(run), rtol=1e-5)


def test_an_interrupted_run_may_be_lengthened(recipe, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Killed):
        train(recipe, out, on_epoch=kill_after(1))
    result = train(change(recipe, train={"epochs": 3}), out)
    assert result["lengths"] == [{"epochs": 2, "from_step": 0}, {"epochs": 3, "from_step": 2}]
    assert not (out / "before").exists()


def test_fewer_epochs_are_refused_in_words(run, recipe):
    with pytest.raises(UserError, match=r"trains for 2 epochs, and train.epochs = 1 would shorten"):
        train(change(recipe, train={"epochs": 1}), run)


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(run, recipe):
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UserError, match=r"no checkpoint to go on from to 4; .* --init-from"):
        train(change(recipe, train={"epochs": 4}), run)
    assert (run / "train.json").is_file()


def test_a_checkpoint_that_says_nothing_of_lengths_has_the_runs_first(run, recipe, monkeypatch):
    """As those that were written before a run could be lengthened."""
    from raynef.jobs import loop

    plain = loop._lengths
    monkeypatch.setattr(
        loop, "_lengths", lambda state, *rest: plain({**state, "lengths": None}, *rest)
    )
    result = train(change(recipe, train={"epochs": 3}), run)
    assert result["lengths"] == [{"epochs": 2, "from_step": 0}, {"epochs": 3, "from_step": 4}]


# ------------------------------------------------------------------------------------------ fields


def test_what_may_change_are_fields_of_the_recipe():
    fields = {f"{s}.{f}" for s, values in to_dict(Recipe()).items() for f in values}
    for kind in ("ours", "kmeans", "kmeans-psi", "probe", "probe-psi"):
        free = may_change(kind, Recipe())
        assert free >= NEVER_SHAPES
        assert free <= fields
        assert "evaluate.short_side" not in free
    assert "kmeans.iterations" not in may_change("kmeans-psi", Recipe())
    assert "probe.lr" in may_change("kmeans-psi", Recipe())
    leaking = change(Recipe(), train={"leak_labels": True})
    assert "data.label_orientation" in may_change("ours", Recipe())
    assert "data.label_orientation" not in may_change("ours", leaking)
    assert "data.label_orientation" not in may_change("probe", Recipe())


OTHER = {
    "data.max_bad_fraction": 0.5,
    "data.val_split": "test",
    "backbone.batch_size": 3,
    "train.max_failures": 9,
    "evaluate.crf": True,
    "kmeans.iterations": 2,
}


def test_fields_that_shape_nothing_may_change_and_are_noted(run, recipe):
    result = read_json(run / "train.json")
    for name, value in OTHER.items():
        section, field = name.split(".")
        recipe = change(recipe, **{section: {field: value}})
        assert train(recipe, run) == result
        assert read_json(run / "run.json")["recipe"][section][field] == value


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [("graph", "alpha", 0.9), ("evaluate", "short_side", 96), ("train", "precision", "bfloat16")],
)
def test_fields_that_shape_the_result_may_not(run, recipe, section, field, value):
    with pytest.raises(UserError, match=rf"another recipe: {section}.{field} is .*, not {value!r}"):
        train(change(recipe, **{section: {field: value}}), run)


def test_no_field_that_may_change_changes_the_weights(finished, recipe, tmp_path):
    """All of them at once, but for what says how many processes there are and where they write."""
    rounding = {"backbone.batch_size", "train.compile"}  # change it; test_compiled holds the second
    apart = {"train.num_workers", "train.store"} | rounding
    for name in sorted(may_change("ours", recipe) - apart):
        section, field = name.split(".")
        recipe = change(
            recipe, **{section: {field: another(getattr(getattr(recipe, section), field))}}
        )
    train(change(recipe, train={"store": str(finished / "store")}), tmp_path / "run")
    assert losses(tmp_path / "run") == pytest.approx(losses(finished), rel=1e-5)


def another(value):
    """Another value of the same kind."""
    others = {"reco": "whole", "iou": "count", "val": "train", "border": "largest", "hsv": "rgb"}
    others |= {"key": "query", "auto": "stored", "rotation": "kmeans", "blocks": "topk"}
    if isinstance(value, str):
        return others[value]
    if isinstance(value, bool) or value is None:
        return not value if isinstance(value, bool) else 1
    if isinstance(value, tuple):
        return value[:1]
    return value / 2 if isinstance(value, float) else value + 1 if value != 480 else 500


def test_a_limit_on_bad_files_once_met_does_not_lock_the_folder(own, copy_of_sample, tmp_path):
    for name in ("bad_a", "bad_b"):
        add_image(copy_of_sample, name)
        (copy_of_sample / "images" / f"{name}.jpg").write_bytes(b"no image")
    out = tmp_path / "run"
    with pytest.raises(UserError, match=r"2 of 12 images .* data.max_bad_fraction = 0.1"):
        train(own, out)
    result = train(change(own, data={"max_bad_fraction": 0.5}), out)
    assert set(result["skipped"]) == {"bad_a.jpg", "bad_b.jpg"}


# -------------------------------------------------------------------------------------- warm start


def test_a_warm_start_has_the_other_runs_weights_and_its_own_schedule(finished, recipe, tmp_path):
    """With a learning rate that moves nothing, what it ends with is what it started from."""
    still = {"store": str(finished / "store"), "seed": 5, "epochs": 1, "lr": 1e-9, "lr_end": 1e-9}
    warm, cold = tmp_path / "warm", tmp_path / "cold"
    result = train(change(recipe, train=still), warm, init_from=finished)
    train(change(recipe, train=still), cold)
    tensors = {run: raynef.Segmenter.load(run).head.state_dict() for run in (finished, warm, cold)}
    for name, tensor in tensors[finished].items():
        torch.testing.assert_close(tensors[warm][name], tensor, rtol=1e-4, atol=1e-5)
    name = "blocks.0.attention.qkv.weight"
    assert not torch.allclose(tensors[cold][name], tensors[finished][name], atol=1e-3)
    first, last = (json.loads(line) for line in (warm / "steps.jsonl").read_text().splitlines())
    assert (first["step"], first["tau"], last["tau"]) == (0, 1.0, 0.3)
    assert result["init_from"] == str(finished)
    source = {"run": str(finished), "labels_leaked": False}
    assert read_json(warm / "run.json")["started_from"] == source


def test_psi_is_the_other_runs_before_the_first_step(finished, recipe):
    from raynef.features.weights import read_state
    from raynef.models.training import Trainer

    tensors = read_state(finished / "segmenter" / "model.safetensors")
    trainers = []
    for _ in range(2):
        trainer = Trainer(recipe, in_dim=tensors["head.weight"].shape[1], num_steps=4)
        parameters = [id(p) for p in trainer.psi.parameters()]
        trainer.start_from(tensors)
        assert [id(p) for p in trainer.psi.parameters()] == parameters  # the optimizer's own
        trainers.append(trainer)
    found = raynef.Segmenter.load(finished).head.state_dict()
    for name, tensor in trainers[0].psi.plain().state_dict().items():
        torch.testing.assert_close(tensor, found[name], rtol=1e-5, atol=1e-6)
    other = trainers[1].psi.state_dict()
    trainer = Trainer(recipe, in_dim=tensors["head.weight"].shape[1], num_steps=4)
    trainer.start_from(tensors)
    assert all(torch.equal(other[name], t) for name, t in trainer.psi.state_dict().items())


def test_a_warm_run_resumes_without_the_other(run, recipe, tmp_path):
    store = change(recipe, train={"store": str(run / "store")})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(store, whole, init_from=run)

    def never(*_, **__):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:  # bound, before its first step
        patch.setattr("raynef.jobs.train.fit", never)
        with pytest.raises(Killed):
            train(store, killed, init_from=run)
    shutil.rmtree(run / "segmenter")
    train(store, killed, init_from=run)
    assert losses(killed) == pytest.approx(losses(whole), rel=1e-5)


def test_where_a_run_started_is_part_of_it(finished, run, recipe, tmp_path):
    store = change(recipe, train={"store": str(finished / "store")})
    warm = tmp_path / "warm"
    train(store, warm, init_from=finished)
    assert train(store, warm, init_from=finished)["init_from"] == str(finished)
    with pytest.raises(UserError, match=rf"started with --init-from {finished}; resume it so"):
        train(store, warm)
    with pytest.raises(UserError, match=rf"started with --init-from {finished}"):
        train(store, warm, init_from=run)
    with pytest.raises(UserError, match=r"started from its seed; resume it without --init-from"):
        train(recipe, run, init_from=finished)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"eigen": {"num_eigenfunctions": 9}}, "eigen.num_eigenfunctions is 12 there, 9 here"),
        ({"eigen": {"num_blocks": 3}}, "eigen.num_blocks is 1 there, 3 here"),
        (
            {"backbone": {"name": "test_vit"}},
            r"input dimension \(three taps of the backbone\) is 576 there, 192 here",
        ),
    ],
)
def test_weights_of_another_shape_are_one_line(finished, recipe, tmp_path, fields, message):
    if "backbone" in fields:
        path = tmp_path / "w.safetensors"
        model = timm.create_model("test_vit", num_classes=0)
        safetensors.torch.save_file(model.state_dict(), path)
        fields = {"backbone": {**fields["backbone"], "weights": str(path)}}
    with pytest.raises(UserError, match=f"does not fit: {message}") as caught:
        train(change(recipe, **fields), tmp_path / "warm", init_from=finished)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "warm" / "run.json").exists()


def test_what_holds_no_eigenfunctions_is_no_start(finished, recipe, tmp_path):
    baseline = tmp_path / "kmeans"
    kmeans(change(recipe, train={"store": str(finished / "store")}), baseline)
    for source, message in ((baseline, "a baseline"), (tmp_path, "holds no segmenter")):
        with pytest.raises(UserError, match=message):
            train(recipe, tmp_path / "warm", init_from=source)


def test_a_head_that_is_not_orthogonal_does_not_become_so_unasked(finished, recipe, tmp_path):
    store = {"store": str(finished / "store")}
    plain = change(recipe, eigen={"orthogonal_head": False}, train=store)
    train(plain, tmp_path / "plain")
    with pytest.raises(UserError, match="its head is not orthogonal"):
        train(change(recipe, train=store), tmp_path / "warm", init_from=tmp_path / "plain")
    train(plain, tmp_path / "again", init_from=tmp_path / "plain")


def test_a_leak_is_inherited_as_a_mark(run, recipe, tmp_path, caplog):
    config = run / "segmenter" / "config.json"
    write_json(config, {**read_json(config), "labels_leaked": True})
    store = change(recipe, train={"store": str(run / "store")})
    warm, second = tmp_path / "warm", tmp_path / "second"
    result = train(store, warm, init_from=run)
    assert result["labels_leaked"]
    assert "saw labels in its training" in caplog.text
    assert not read_json(warm / "run.json")["recipe"]["train"]["leak_labels"]
    assert raynef.Segmenter.load(warm).labels_leaked
    assert kmeans_psi(warm)["labels_leaked"]
    assert raynef.Segmenter.load(warm / "kmeans-psi").labels_leaked
    assert evaluate(warm)["labels_leaked"]
    (warm / "evaluate.json").unlink()  # the page knows it by the run itself
    assert "Labels leaked" in Path(write_report(warm, images=False)["report"]).read_text()
    assert train(store, second, init_from=warm)["labels_leaked"]


def test_no_label_is_opened_by_a_warm_start(finished, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "raynef.images.decode.read_label", lambda *_: pytest.fail("a label was opened")
    )
    store = change(recipe, train={"store": str(finished / "store")})
    train(store, tmp_path / "warm", init_from=finished)
