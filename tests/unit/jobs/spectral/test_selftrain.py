"""A network trained on a STORE's own segments, on a tiny sample."""

import dataclasses
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image

from raynef.cluster.place import this_process
from raynef.cluster.worker import Worker
from raynef.config.recipe import SelfTrain, Spectral
from raynef.core.collectives import Collectives, SingleProcess
from raynef.core.errors import UserError
from raynef.io.checkpoints import State
from raynef.jobs.spectral.eigen import eigen
from raynef.jobs.spectral.selftrain import selftrain
from raynef.jobs.spectral.selftrain_loop import Example, crops, load_network, selftrain_loop
from raynef.jobs.spectral.semantic import semantic
from tests.tiny import change

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = SelfTrain(steps=4, batch_size=3, crop=64, lr=1e-3, frozen=10, checkpoint_steps=2)


@pytest.fixture(scope="module")
def small(recipe):
    few = Spectral(num_eigenvectors=4, num_segments=4, num_clusters=3)
    return dataclasses.replace(recipe, spectral=few, selftrain=SETTINGS)


@pytest.fixture
def store(small, tmp_path):
    with this_process():
        eigen(small, tmp_path / "store")
        semantic(tmp_path / "store", small)
    return tmp_path / "store"


def test_it_trains_saves_and_is_scored(store, small):
    with this_process():
        found = selftrain(store, small)
        again = selftrain(store, small)
    assert (found["num_images"], found["num_examples"], found["num_clusters"]) == (10, 10, 3)
    assert 0 <= found["miou"] <= 1
    assert again["miou"] == found["miou"]
    network = load_network(store / "selftrain")
    assert network(torch.rand(1, 3, 32, 48)).shape == (1, 4, 32, 48)
    image = Image.open(sorted((store / "selftrain-labels").rglob("*.png"))[0])
    assert image.mode == "P"  # with the colors of the clusters
    labels = np.asarray(image)
    assert labels.shape == (96, 128)
    assert labels.max() <= 3


def test_killed_it_goes_on_to_the_same_network(store, small, monkeypatch, tmp_path):
    with this_process():
        selftrain(store, small)
    whole = load_network(store / "selftrain").state_dict()
    other = tmp_path / "other"
    with this_process():
        eigen(small, other)
        semantic(other, small)
    calls = []

    def dies_at_the_fourth(*args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return crops(*args)

    monkeypatch.setattr("raynef.jobs.spectral.selftrain_loop.crops", dies_at_the_fourth)
    with this_process():
        with pytest.raises(KeyboardInterrupt):
            selftrain(other, small)
        selftrain(other, small)
    assert [call[2] for call in calls] == [0, 1, 2, 3, 2, 3]  # on from the checkpoint after 2
    resumed = load_network(other / "selftrain").state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=1e-5, rtol=1e-4)


class Halves:
    """Two workers in turn: gradients of the first are kept for the second, which sees the sum."""

    world_size = 2

    def __init__(self, rank, kept):
        self.rank, self.kept = rank, kept

    def all_reduce_sum(self, value):
        self.kept.append(value.clone())
        return sum(self.kept) if self.rank else value


class Keeps(Worker):
    """Keeps in memory what it is to save; it is never asked to keep another step."""

    state: State
    loss: float

    def restore(self):
        return None

    def tell(self, event):
        pass

    def save(self, state, summary, trainer, *, step):
        self.state, self.loss = state, summary["loss"]


@pytest.mark.parametrize("batch_size", [2, 3])
def test_two_workers_have_the_gradient_of_one(store, small, batch_size, tmp_path):
    settings = dataclasses.replace(SETTINGS, steps=1, batch_size=batch_size, checkpoint_steps=1)
    images = sorted((store / "semantic-spectral").rglob("*.png"))
    from raynef.images.datasets.registry import open_split

    files = open_split(small.data, "train").files
    examples = [(f.path, str(p)) for f, p in zip(files, images, strict=True)]
    config = {
        "backbone": dataclasses.asdict(small.backbone),
        "settings": dataclasses.asdict(settings),
        "examples": examples,
        "num_labels": 4,
        "threads": 1,
    }

    place, kept = (tmp_path / "checkpoints", torch.device("cpu")), []
    alone = Keeps(*place, SingleProcess())
    selftrain_loop(config, alone)
    workers = [Keeps(*place, cast(Collectives, Halves(rank, kept))) for rank in (0, 1)]
    for worker in workers:
        selftrain_loop(config, worker)
    assert workers[1].loss == pytest.approx(alone.loss, rel=1e-5)
    for name, value in alone.state["network"].items():
        torch.testing.assert_close(workers[1].state["network"][name], value, atol=2e-4, rtol=1e-3)


def test_the_rate_falls_linearly_to_0(store, small, monkeypatch):
    """Over all steps, also where the training went on from a checkpoint."""
    rates, died, plain = [], [], torch.optim.Adam.step

    def step(optimizer, *args, **kwargs):
        rates.append([group["lr"] for group in optimizer.param_groups])
        return plain(optimizer, *args, **kwargs)

    def dies_at_the_fourth(*args):
        if args[2] == 3 and not died:  # decoded while the third is trained on
            died.append(True)
            raise KeyboardInterrupt
        return crops(*args)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    monkeypatch.setattr("raynef.jobs.spectral.selftrain_loop.crops", dies_at_the_fourth)
    with this_process():
        with pytest.raises(KeyboardInterrupt):
            selftrain(store, small)
        selftrain(store, small)
    expected = [1e-3, 0.75e-3, 0.5e-3, 0.5e-3, 0.25e-3]  # on from the checkpoint after 2
    np.testing.assert_allclose(rates, [[rate] for rate in expected])


def test_crops_follow_from_seed_step_and_slot(tmp_path):
    image = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(np.repeat(np.arange(60, dtype=np.uint8)[None], 40, 0)).save(tmp_path / "l.png")
    examples = [Example(str(tmp_path / "a.png"), str(tmp_path / "l.png"))]
    settings = dataclasses.replace(SETTINGS, crop=32)
    images, labels = crops(examples, settings, 5, [0, 1, 2])
    assert images.shape == (3, 3, 32, 32)
    assert labels.shape == (3, 32, 32)
    alone, _ = crops(examples, settings, 5, [1])
    assert torch.equal(images[1:2], alone)
    assert not torch.equal(images[0], images[1])
    assert 0 <= labels.min() <= labels.max() < 60


def test_a_label_lies_over_its_crop(tmp_path):
    """An image and a label of half its size that both tell their columns and rows."""
    rows, columns = np.mgrid[:48, :72]
    image = np.stack([3 * columns, 3 * rows, 0 * rows], axis=-1).astype(np.uint8)
    for name, half in (("across", columns // 2), ("down", rows // 2)):
        Image.fromarray(half[::2, ::2].astype(np.uint8)).save(tmp_path / f"{name}.png")
    Image.fromarray(image).save(tmp_path / "image.png")
    settings = dataclasses.replace(SETTINGS, crop=32, batch_size=1)
    flips, corners = set(), set()
    for step in range(12):
        for name, channel in (("across", 0), ("down", 1)):
            examples = [Example(str(tmp_path / "image.png"), str(tmp_path / f"{name}.png"))]
            images, labels = crops(examples, settings, step, [0])
            shown = images[0, channel].numpy() * 255 / 3 / 2  # in columns or rows of the label
            assert np.abs(shown - labels[0].numpy() - 0.25).max() <= 1
            if name == "across":
                flips.add(bool(labels[0, 0, 0] > labels[0, 0, -1]))
                corners.add(int(labels.min()))
    assert flips == {True, False}
    assert len(corners) > 3


def test_no_label_of_peoples_reaches_the_network(store, small, copy_of_sample, tmp_path):
    """Scrambled labels: the same weights to the last bit."""
    for path in (copy_of_sample / "labels").iterdir():
        values = np.asarray(Image.open(path))
        mixed = np.random.default_rng(0).permutation(values.ravel()).reshape(values.shape)
        Image.fromarray(mixed).save(path)
    scrambled = change(small, data={"root": str(copy_of_sample)})
    with this_process():
        selftrain(store, small)
        eigen(scrambled, tmp_path / "scrambled")
        semantic(tmp_path / "scrambled", scrambled)
        selftrain(tmp_path / "scrambled", scrambled)
    one, other = (
        load_network(folder / "selftrain").state_dict()
        for folder in (store, tmp_path / "scrambled")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_mistakes_are_named(store, small, tmp_path):
    with this_process():
        eigen(small, tmp_path / "unlabeled")
        with pytest.raises(UserError, match="make them with raynef spectral semantic"):
            selftrain(tmp_path / "unlabeled", small)
        with pytest.raises(UserError, match="multiple of the backbone's 16 pixels, got 60"):
            selftrain(store, change(small, selftrain={"crop": 60}))
        selftrain(store, small)
        with pytest.raises(UserError, match="holds a training with other selftrain"):
            selftrain(store, change(small, selftrain={"steps": 5}))
