"""raynef status: every kind of folder, in every state, told without Ray and without torch."""

import contextlib
import json
import logging
import subprocess
import sys
import time
import warnings

import pytest
import yaml
from filelock import FileLock

from raynef.cluster import progress
from raynef.cluster.place import this_process
from raynef.cluster.progress import Progress
from raynef.config.objective import objective_of
from raynef.config.recipe import Recipe, Spectral, to_dict
from raynef.core.errors import UserError
from raynef.io.files import read_json, write_json
from raynef.io.holds import is_held
from raynef.io.log import logged, warnings_once
from raynef.io.state import StateWriter, read_state, state_in
from raynef.jobs import extract as features
from raynef.jobs.evaluate import evaluate
from raynef.jobs.extract import ensure_store, extract_store
from raynef.jobs.spectral.eigen import eigen
from raynef.jobs.train import train
from raynef.ops.status import status
from raynef.ops.status_words import ago, in_words
from raynef.stores.run import bind, hold
from raynef.sweeps.compare import compare
from raynef.work.views import FeatureActor
from tests.known import present
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def spoken():
    """As the command sets it: what is said of the way is said."""
    logger = logging.getLogger("raynef")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(before)


@pytest.fixture
def every_step(monkeypatch):
    """Progress is said at every step, not every two seconds."""
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)


@pytest.fixture(scope="module")
def run(one_thread, recipe, tmp_path_factory):
    """A run that was trained and scored in this process."""
    out = tmp_path_factory.mktemp("status") / "run"
    with this_process():
        train(recipe, out)
        evaluate(out)
    return out


def stored(recipe, run):
    return change(recipe, train={"store": str(run / "store")})


def words(path) -> str:
    return "\n".join(in_words(status(path)))


# ------------------------------------------------------------------------------------------- runs


def test_a_finished_run(run, recipe):
    found, trained = status(run), read_json(run / "train.json")
    assert (found["kind"], found["method"], found["state"]) == ("run", "ours", "finished")
    assert (found["held"], found["trained"], found["now"]) == (False, True, None)
    assert found["training"]["epochs"] == [2, 2]
    assert found["training"]["steps"] == [4, 4]
    loss = trained["objective"]["loss"]
    assert found["training"]["loss"] == loss
    assert found["training"]["objective"] == objective_of(recipe, loss)
    assert found["scores"]["miou"] == read_json(run / "evaluate.json")["miou"]
    manifest = read_json(run / "store" / "manifest.json")
    assert found["store"]["shards"] == [len(manifest["shards"])] * 2
    assert found["store"]["images"] == [10, 10]
    assert found["store"]["views"] == 2
    assert found["store"]["bytes"] == sum(shard["num_bytes"] for shard in manifest["shards"])
    last = (run / "log.txt").read_text().splitlines()[-1]
    assert found["log"]["last"] == last
    for part in (
        "a run of raynef train, finished",
        "2 of 2 epochs",
        "mIoU",
        "10 images in 2 views",
    ):
        assert part in words(run)


def test_it_needs_neither_torch_nor_ray(run):
    code = (
        "import sys\n"
        "from raynef.cli.main import main\n"
        "try:\n"
        f"    main(['status', {str(run)!r}])\n"
        "except SystemExit as exit_:\n"
        "    print('MODULES', *sys.modules, file=sys.stderr)\n"
        "    raise\n"
    )
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said, _, modules = done.stderr.partition("MODULES")
    assert "raynef.ops.status" in modules.split()
    assert not set(modules.split()) & {"torch", "ray", "timm", "numpy", "scipy", "pyarrow"}
    assert json.loads(done.stdout)["kind"] == "run"
    assert "2 of 2 epochs" in said
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert {p: t for p, t in after.items() if p.name != ".lock"} == {
        p: t for p, t in before.items() if p.name != ".lock"
    }


def test_a_run_at_work(run, recipe, tmp_path, every_step):
    seen = []
    with this_process():
        train(
            stored(recipe, run),
            tmp_path / "run",
            on_epoch=lambda _summary, _trainer: seen.append(status(tmp_path / "run")),
        )
    first = seen[0]
    assert (first["state"], first["held"], first["trained"]) == ("working", True, False)
    assert first["training"]["epochs"] == [1, 2]
    assert first["training"]["steps"] == [2, 4]
    loss = json.loads((tmp_path / "run" / "steps.jsonl").read_text().splitlines()[1])["loss"]
    assert first["training"]["loss"] == loss
    now = first["now"]
    assert (now["stage"], now["done"], now["total"], now["unit"]) == ("train", 10, 20, "images")
    assert now["rate"] > 0
    assert now["eta_s"] == pytest.approx(10 / now["rate"], rel=0.1, abs=0.1)
    assert now["age_s"] < 60
    assert first["log"]["last"].startswith("20")
    assert "train: 10/20 images" in first["log"]["last"]
    assert "train: 10 of 20 images" in "\n".join(in_words(first))


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (KeyboardInterrupt(), "unfinished", "WARNING interrupted"),
        (SystemExit(143), "unfinished", "WARNING ended with exit status 143"),
        (UserError("the disk is a plate"), "failed", "ERROR the disk is a plate"),
        (ZeroDivisionError("ours"), "failed", "ZeroDivisionError: ours"),
    ],
)
def test_a_run_that_ended_before_its_time(run, recipe, tmp_path, every_step, error, state, said):
    def end(_summary, _trainer):
        raise error

    with this_process(), pytest.raises(type(error)):
        train(stored(recipe, run), tmp_path / "run", on_epoch=end)
    found = status(tmp_path / "run")
    assert (found["state"], found["held"], found["now"]) == (state, False, None)
    assert found["training"]["epochs"] == [1, 2]
    assert said in (tmp_path / "run" / "log.txt").read_text()
    assert "the same command goes on" in words(tmp_path / "run")
    with this_process():
        train(stored(recipe, run), tmp_path / "run")
    assert status(tmp_path / "run")["state"] == "finished"


def test_a_run_of_another_recipe_leaves_no_word_in_the_log(run, recipe):
    before = (run / "log.txt").read_text()
    with pytest.raises(UserError, match="belongs to another recipe"):
        train(change(recipe, train={"seed": 5}), run)
    assert (run / "log.txt").read_text() == before


def test_a_job_that_has_only_begun(recipe, tmp_path):
    with hold(tmp_path / "run", recipe):
        assert status(tmp_path / "run")["state"] == "working"
        assert "only begun" in words(tmp_path / "run")
    assert status(tmp_path / "run")["state"] == "unfinished"


def test_a_lock_is_tried_and_let_go(tmp_path):
    assert not is_held(tmp_path)
    assert not list(tmp_path.iterdir())  # none is made
    with FileLock(tmp_path / ".lock"):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)
    FileLock(tmp_path / ".lock").acquire(timeout=0).lock.release()


# ----------------------------------------------------------------------------------------- stores


def test_a_store_that_is_being_made(recipe, tmp_path, monkeypatch, every_step):
    seen = []

    class Watched(FeatureActor):
        def __call__(self, read):  # a shard is written behind it while the next is computed
            seen.append(status(tmp_path / "store") if len(seen) == 2 else None)
            if len(seen) == 4:
                raise KeyboardInterrupt
            return super().__call__(read)

    monkeypatch.setattr(features, "FeatureActor", Watched)
    monkeypatch.setattr(features, "images_per_shard", lambda _recipe: 4)
    with this_process(), pytest.raises(KeyboardInterrupt):
        extract_store(recipe, tmp_path / "store")
    assert seen[2]["state"] == "working"
    assert seen[2]["shards"] == [1, 6]
    assert seen[2]["now"]["done"] == 4
    found = status(tmp_path / "store")
    assert (found["kind"], found["state"]) == ("store", "unfinished")
    assert (found["shards"], found["images"], found["skipped"]) == ([2, 6], [4, 10], 0)
    assert "2 of 6 shards, 4 of 10 images" in words(tmp_path / "store")
    monkeypatch.setattr(features, "FeatureActor", FeatureActor)
    with this_process():
        extract_store(recipe, tmp_path / "store")
    found = status(tmp_path / "store")
    assert (found["state"], found["shards"], found["images"]) == ("finished", [6, 6], [10, 10])


def test_skipped_images_are_counted(recipe, copy_of_sample, tmp_path):
    from raynef.images.datasets.registry import open_split

    spoiled = change(recipe, data={"root": str(copy_of_sample), "max_bad_fraction": 0.2})
    images = open_split(spoiled.data, "train")
    with open(images.files[0].path, "wb") as handle:
        handle.write(b"no image")
    with this_process():
        ensure_store(spoiled, images, tmp_path / "store")
    found = status(tmp_path / "store")
    assert (found["images"], found["skipped"]) == ([9, 10], 1)
    assert "1 skipped" in words(tmp_path / "store")


def test_a_spectral_store(recipe, tmp_path):
    import dataclasses

    few = Spectral(num_eigenvectors=6, num_segments=4, num_clusters=3)
    store = tmp_path / "store"
    with this_process():
        eigen(dataclasses.replace(recipe, spectral=few), store)
    found = status(store)
    assert (found["kind"], found["state"], found["now"]) == ("spectral", "finished", None)
    assert found["eigen"]["images"] == found["features"]["images"] == [10, 10]
    assert found["jobs"] == {"localize": None, "object": None, "semantic": None, "selftrain": None}
    assert "eigenpairs: 10 images" in (store / "log.txt").read_text()
    write_json(store / "localize.json", {"corloc": 0.25, "corloc_lost": None, "boxes": {}})
    assert "CorLoc 25.0 %" in words(store)
    with state_in(store):
        Progress("object", 10, "images").advance(3)
    assert status(store)["state"] == "working"
    assert "object: 0 of 10 images" in words(store)
    late = read_json(store / "state.json") | {"time": time.time() - 3600}
    write_json(store / "state.json", late)
    assert status(store)["now"] is None
    (store / "eigen" / "manifest.json").unlink()
    assert status(store)["state"] == "unfinished"


# ------------------------------------------------------------------------------- folders of several


def test_seeds(run, recipe, tmp_path):
    write_json(tmp_path / "seeds.json", {"seeds": [0, 1]})
    (tmp_path / "seed-0").symlink_to(run)
    found = status(tmp_path)
    assert (found["kind"], found["state"]) == ("seeds", "unfinished")
    assert found["runs"]["seed-0"]["state"] == "finished"
    assert found["runs"]["seed-1"] == {"state": "to come"}
    with hold(tmp_path / "seed-1", recipe) as held:
        bind(held, recipe)
        assert status(tmp_path)["state"] == "working"
        assert "seed-1    working, 0 of 2 epochs" in words(tmp_path)


def sweep_of(path, *trials):
    """The record of a sweep of one method, with a folder for each trial as it was left."""
    write_json(
        path / "sweep.json",
        {
            "space": {"title": "The weight α", "search": None},
            "cells": [
                {"trial": name, "method": "ours", "score": "key", "where": {}, "seed": 0}
                for name in trials
            ],
            "trials": [{"name": name} for name in trials],
            "data": [],
            "seeds": [0],
            "environment": {},
        },
    )


def test_a_sweep(tmp_path):
    sweep_of(tmp_path, "a", "b", "c", "d", "e", "f", "g")
    trials = tmp_path / "trials"
    recipe = to_dict(Recipe())
    for name in "abcdef":
        noted = {"kind": "ours", "seed": 0, "recipe": recipe}
        write_json(trials / name / "trial.json", noted)
    score = {"method": "ours", "score": "key", "run": "run", "num_images": 3, "miou": 0.5}
    score |= {"data": recipe["data"], "evaluate": recipe["evaluate"]}
    write_json(trials / "a" / "result.json", {"scores": [score]})
    write_json(trials / "b" / "error.json", {"error": "Traceback\nValueError: b is wrong"})
    write_json(trials / "c" / "stopped.json", {"epoch": 2})
    write_json(trials / "e" / "result.json", {"scores": []})  # of another protocol
    with FileLock(tmp_path / ".lock"), FileLock(trials / "d" / ".lock"):
        with state_in(trials / "d" / "run"):
            Progress("train", 40, "images")
        found = status(tmp_path)
        assert found["state"] == "working"
        assert found["counts"] == {
            "done": 1,
            "failed": 1,
            "stopped": 1,
            "working": 1,
            "begun": 2,
            "to come": 1,
        }
        assert found["trials"] == 7
        assert found["working"]["d"]["stage"] == "train"
        assert "b: ValueError: b is wrong" in words(tmp_path)
        assert "d: train: 0 of 40 images" in words(tmp_path)
    assert status(tmp_path)["state"] == "unfinished"
    sweep_of(tmp_path, "a", "b", "c")
    assert status(tmp_path)["state"] == "failed"
    sweep_of(tmp_path, "a", "c")
    assert status(tmp_path)["state"] == "finished"


def test_a_search_by_optuna_has_trials_that_are_not_yet_drawn(tmp_path):
    sweep_of(tmp_path, "a")
    record = read_json(tmp_path / "sweep.json")
    record["space"]["search"] = {"algorithm": "optuna", "num_samples": 4}
    write_json(tmp_path / "sweep.json", record)
    found = status(tmp_path)
    assert (found["trials"], found["counts"]["to come"], found["state"]) == (4, 4, "unfinished")


def test_a_comparison(recipe, tmp_path):
    values = to_dict(recipe)
    fields = {
        f"{section}.{name}": value
        for section in ("data", "backbone", "graph", "eigen", "train", "evaluate")
        for name, value in values[section].items()
        if (section, name) not in (("train", "seed"), ("train", "leak_labels"))
        and section != "evaluate"
    }
    rows = [{"name": "first", "seeds": [0], "evaluate": {"short_side": 64, "crop": 64}}]
    table = {"recipe": "folder", "set": fields, "columns": ["kmeans", "ours_star"], "rows": rows}
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(table), encoding="utf-8")
    out = tmp_path / "out"
    with this_process():
        result = compare(tmp_path / "table.yaml", out)
    found = status(out)
    assert (found["kind"], found["state"]) == ("comparison", "finished")
    assert found["scores_done"] == [2, 2]
    runs = [result["rows"][0]["cells"][column][0]["run"] for column in ("kmeans", "ours_star")]
    files = [cell["file"] for cell in read_json(out / "compare.json")["cells"]]
    assert [file.rpartition("/")[0] for file in files] == runs
    (out / files[1]).unlink()
    found = status(out)
    assert (found["state"], found["columns"]) == (
        "unfinished",
        {"kmeans": [1, 1], "ours_star": [0, 1]},
    )
    assert "first: K-means: mIoU" in (out / "log.txt").read_text()


# --------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (None, "", "has none of run.json, seeds.json, sweep.json"),
        ("run.json", "{}", "run.json is damaged: KeyError"),
        ("seeds.json", "[]", "seeds.json is damaged"),
        ("sweep.json", "{", "sweep.json is damaged"),
        ("sweep.json", '{"space": {}}', "it lacks cells"),
        ("spectral.json", "[]", "spectral.json is damaged"),
        ("compare.json", "{}", "compare.json is damaged: KeyError"),
        ("manifest.json", "[]", "manifest.json is damaged"),
    ],
)
def test_mistakes(file, content, said, tmp_path):
    if file is not None:
        (tmp_path / file).write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        status(tmp_path)
    assert said in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_path_that_is_none(tmp_path):
    with pytest.raises(UserError, match="does not exist; give the folder of a run"):
        status(tmp_path / "nope")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file; give the folder of a run"):
        status(tmp_path / "file")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(4.2, "4 s ago"), (600, "10 min ago"), (9000, "2.5 h ago"), (400_000, "5 days ago")],
)
def test_ago(seconds, said):
    assert ago(seconds) == said


# --------------------------------------------------------------------------- the log and the file


def test_where_a_job_stands_is_kept_where_it_began_from_any_thread(tmp_path):
    import threading

    for name in ("outer", "inner"):
        (tmp_path / name).mkdir()
    with state_in(tmp_path / "outer"):
        with state_in(tmp_path / "inner"):
            writer = StateWriter("train", 10, "images", {"steps": 5})
        alone = StateWriter("later", 3, "images")
    facts = {"loss": 1.5, "nan": float("nan"), "list": [1]}
    thread = threading.Thread(target=writer.note, args=(4, 2.0, facts))
    thread.start()
    thread.join()
    found = present(read_state(tmp_path / "outer"))
    assert read_state(tmp_path / "inner") == found
    assert found.time == pytest.approx(time.time(), abs=60)
    written = read_json(tmp_path / "outer" / "state.json")
    assert {name: value for name, value in written.items() if name != "time"} == {
        "stage": "train",
        "total": 10,
        "unit": "images",
        "steps": 5,
        "loss": 1.5,
        "done": 4,
        "rate": 2.0,
        "eta_s": 3.0,
        "ended": None,
    }
    assert (found.stage, found.done, found.eta_s) == ("train", 4, 3.0)
    assert found.facts == {"steps": 5, "loss": 1.5}
    alone.note(1, 0.0)
    assert present(read_state(tmp_path / "outer")).eta_s is None
    assert read_state(tmp_path / "inner") == found


def earlier(folder):
    """Make the state of a folder that of an earlier version, which did not say how a job ended."""
    state = read_json(folder / "state.json")
    del state["ended"]
    (folder / "state.json").unlink()
    write_json(folder / "standing.json", state)


@pytest.mark.parametrize(
    ("error", "ended", "state"),
    [
        (KeyboardInterrupt(), "stopped", "unfinished"),
        (UserError("the disk is a plate"), "failed", "failed"),
        (None, "finished", "unfinished"),  # an interrupted run of which a part was repeated
    ],
)
def test_how_a_job_ended_is_in_its_state_and_before_in_its_log(
    run, recipe, tmp_path, every_step, error, ended, state
):
    def end(_summary, _trainer):
        raise KeyboardInterrupt

    with this_process(), pytest.raises(KeyboardInterrupt):
        train(stored(recipe, run), tmp_path / "run", on_epoch=end)
    with contextlib.suppress(KeyboardInterrupt, UserError), hold(tmp_path / "run"):
        assert present(read_state(tmp_path / "run")).ended is None
        if error is not None:
            raise error
    assert present(read_state(tmp_path / "run")).ended == ended
    found = status(tmp_path / "run")
    assert (found["state"], found["training"]["epochs"]) == (state, [1, 2])
    earlier(tmp_path / "run")
    before = status(tmp_path / "run")
    assert before == found | {"log": before["log"]}


def test_a_job_that_fails_at_once_can_start_again(recipe, tmp_path):
    with pytest.raises(UserError), hold(tmp_path / "run", recipe):
        raise UserError("no images")
    assert present(read_state(tmp_path / "run")).ended == "failed"
    assert "only begun" in words(tmp_path / "run")
    with hold(tmp_path / "run", recipe) as held:
        bind(held, recipe)
        assert status(tmp_path / "run")["now"] is None
    assert status(tmp_path / "run")["state"] == "unfinished"


def test_a_full_disk_does_not_end_the_job_for_its_state(tmp_path, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("raynef.io.state.write_json", full)
    with state_in(tmp_path):
        Progress("train", 2, "images").advance(2)
    assert read_state(tmp_path) is None


def test_the_log_has_what_stderr_has_and_warnings_once(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="raynef")
    show = warnings.showwarning
    with warnings_once(), logged(tmp_path):
        warnings.simplefilter("always")
        logging.getLogger("raynef").info("hello")
        for _ in range(3):
            warnings.warn("this will\n  change", FutureWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert warnings.showwarning is show
    said = [line.split(" ", 2)[2] for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert said == [
        "INFO hello",
        "WARNING FutureWarning: this will change",
        "WARNING UserWarning: something else",
    ]
    assert [record.getMessage() for record in caplog.records] == [
        line.split(" ", 1)[1] for line in said
    ]
