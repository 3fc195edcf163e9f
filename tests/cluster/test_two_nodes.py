"""Work that spreads over two nodes gives what one process alone gives."""

import json
import logging
import threading
import time
from typing import Any

import numpy as np
import pytest
import ray
from ray.util.state import list_actors

from raynef.cluster.place import this_process
from raynef.cluster.session import FEATURES, TRAIN, feature_actors
from raynef.cluster.stream import stream
from raynef.io.files import read_json
from raynef.jobs.evaluate import evaluate
from raynef.jobs.extract import extract_store
from raynef.jobs.train import train
from tests.tiny import change

ONE = 1  # of a role: the node takes one worker, and no second


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "steps.jsonl").read_text().splitlines()]


def nodes_of(class_name: str) -> set[str]:
    """Nodes on which actors of a class ran."""
    actors: list[Any] = list_actors(limit=1000, detail=True)
    return {actor.node_id for actor in actors if class_name in actor.class_name}


@pytest.fixture(scope="module")
def alone(recipe, tmp_path_factory):
    """A run of one process, without Ray."""
    out = tmp_path_factory.mktemp("alone") / "run"
    with this_process():
        train(change(recipe, train={"epochs": 3}), out)
        evaluate(out)
    return out


def shards(store):
    return {path.name: path.read_bytes() for path in store.glob("*.parquet")}


def test_extract_train_and_evaluate_across_both(recipe, alone, start, tmp_path):
    start({"resources": {TRAIN: ONE}}, {"resources": {TRAIN: ONE}})
    recipe = change(recipe, train={"epochs": 3, "num_workers": 2, "store": str(tmp_path / "store")})
    extract_store(recipe, tmp_path / "store")
    assert len(nodes_of("MapWorker")) == 2, "a feature actor on each node"
    for name, content in shards(alone / "store").items():
        assert content == shards(tmp_path / "store")[name], f"{name} differs"

    result = train(recipe, tmp_path / "run")
    assert result["num_workers"] == 2
    assert len(nodes_of("RayTrainWorker")) == 2, "a train worker on each node"
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(alone), rtol=1e-3)

    scores = evaluate(tmp_path / "run")
    assert scores["num_images"] == read_json(alone / "evaluate.json")["num_images"]
    assert scores["miou"] == pytest.approx(read_json(alone / "evaluate.json")["miou"], abs=0.02)


def test_streamed_across_both(recipe, alone, start, tmp_path):
    start(
        {"num_cpus": 4, "resources": {TRAIN: ONE}},
        {"num_cpus": 4, "resources": {TRAIN: ONE}},
    )
    changed = {"epochs": 1, "num_workers": 2, "features": "streamed"}
    train(change(recipe, train=changed), tmp_path / "run")
    assert len(nodes_of("RayTrainWorker")) == 2
    assert np.isfinite(losses(tmp_path / "run")).all()


def test_trials_on_both(recipe, start, tmp_path):
    from raynef.cli.main import main

    start({}, {})
    space = tmp_path / "space.yaml"
    space.write_text(
        "title: two nodes\naxes: {graph.alpha: {grid: [0, 0.3, 0.5, 0.7]}}\n"
        "rows: [data]\ncolumns: graph.alpha\n"
    )
    data, backbone = recipe.data, recipe.backbone
    with pytest.raises(SystemExit) as ended:
        main(
            [
                *("tune", str(space), "--data.root", data.root, "--out", str(tmp_path / "sweep")),
                *("--data.short-side", "64", "--data.crop", "64", "--data.num-views", "1"),
                *("--backbone.name", backbone.name, "--backbone.weights", backbone.weights),
                *("--graph.num-neighbors", "12", "--eigen.num-eigenfunctions", "12"),
                *("--train.batch-size", "5", "--train.epochs", "2"),
                *("--evaluate.short-side", "64", "--evaluate.crop", "64"),
            ]
        )
    assert ended.value.code == 0
    results = [read_json(path) for path in (tmp_path / "sweep").glob("trials/*/result.json")]
    assert len(results) == 4
    assert len(nodes_of("ImplicitFunc")) == 2, "trials on each node"


class WhereAmI:
    """An actor that says where it runs; it takes a GPU, and does not use it."""

    def __init__(self, device):
        self.node = ray.get_runtime_context().get_node_id()

    def __call__(self, unit):
        return self.node, ray.get_runtime_context().get_accelerator_ids()["GPU"]


def as_it_is(unit):
    return unit


def test_only_a_node_with_gpus_gets_work_for_one(start):
    """The GPUs are Ray's word for it here: no device is behind them."""
    cluster = start({"num_cpus": 4}, {"num_gpus": 2})
    with_gpus = [node["NodeID"] for node in ray.nodes() if node["Resources"].get("GPU")]
    assert len(cluster.list_all_nodes()) == 2
    pool = feature_actors()
    assert (pool.count, pool.num_gpus) == (2, 1)
    units = [{"index": index} for index in range(8)]
    found = list(stream(units, prepare=as_it_is, actor=WhereAmI, actors=pool))
    assert {node for node, _ in found} == set(with_gpus)
    assert all(len(gpus) == 1 for _, gpus in found)


def test_features_here_and_training_there(recipe, alone, start, tmp_path):
    start({"resources": {FEATURES: 1}}, {"num_cpus": 3, "resources": {TRAIN: 2}})
    by_role = {
        role: {node["NodeID"] for node in ray.nodes() if role in node["Resources"]}
        for role in (FEATURES, TRAIN)
    }
    train(change(recipe, train={"epochs": 3, "num_workers": 2}), tmp_path / "run")
    assert nodes_of("MapWorker") == by_role[FEATURES]
    assert nodes_of("RayTrainWorker") == by_role[TRAIN]
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(alone), rtol=1e-3)


def train_in_thread(recipe, out):
    """Start a training, wait until it has a checkpoint."""
    ended: list[dict | BaseException] = []

    def work():
        try:
            ended.append(train(recipe, out))
        except BaseException as error:  # noqa: BLE001  # looked at by the test
            ended.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    deadline = time.monotonic() + 240
    while not list((out / "checkpoints").glob("checkpoint_*/state.ckpt")):
        assert thread.is_alive(), ended
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.05)
    return thread, ended


def test_a_node_is_killed_and_the_work_moves(recipe, start, tmp_path):
    """The two workers need two nodes; the second of three goes, the third takes its place."""
    cluster = start({"num_cpus": 2}, {"resources": {TRAIN: ONE}}, {"resources": {TRAIN: ONE}})
    spare = {"num_cpus": 2, "object_store_memory": 200 << 20, "resources": {TRAIN: ONE}}
    recipe = change(recipe, train={"epochs": 40, "num_workers": 2})
    thread, ended = train_in_thread(recipe, tmp_path / "run")
    victim = next(n for n in cluster.list_all_nodes() if n is not cluster.head_node)
    cluster.remove_node(victim, allow_graceful=False)
    cluster.add_node(**spare)
    thread.join(timeout=400)
    assert ended, "the run did not end"
    assert isinstance(ended[0], dict), ended[0]
    with this_process():
        train(change(recipe, train={"num_workers": 1}), tmp_path / "alone")
    lines = (tmp_path / "run" / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(80)), "each step once"
    # Rounding differs with the number of workers, and grows from step to step.
    moved, whole = losses(tmp_path / "run")[:24], losses(tmp_path / "alone")[:24]
    np.testing.assert_allclose(moved, whole, rtol=1e-2)


def test_without_another_node_it_waits_and_says_for_what(recipe, start, tmp_path, caplog):
    cluster = start({"num_cpus": 2}, {"resources": {TRAIN: ONE}}, {"resources": {TRAIN: ONE}})
    recipe = change(recipe, train={"epochs": 40, "num_workers": 2})
    with caplog.at_level(logging.INFO, logger="raynef"):
        thread, ended = train_in_thread(recipe, tmp_path / "run")
        victim = next(n for n in cluster.list_all_nodes() if n is not cluster.head_node)
        cluster.remove_node(victim, allow_graceful=False)
        deadline = time.monotonic() + 200
        while "waiting for nodes" not in caplog.text:
            assert not ended, ended
            assert time.monotonic() < deadline, "nothing was said"
            time.sleep(1)
        assert f"{TRAIN} 2 (there is 1)" in caplog.text
        cluster.add_node(
            num_cpus=2, object_store_memory=200 << 20, resources={TRAIN: ONE}
        )  # and then it goes on
        thread.join(timeout=400)
    assert ended, "the run did not end"
    assert isinstance(ended[0], dict), ended[0]
