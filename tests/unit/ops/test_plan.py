"""A plan against what is really written and exchanged, and what it says about its sources."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from PIL import Image

from raynef.cli.main import main
from raynef.cluster.collectives import Distributed
from raynef.config.recipe import Backbone, Data, Eigen, Evaluate, Graph, Recipe, Train
from raynef.core.collectives import SingleProcess
from raynef.core.errors import UserError
from raynef.features.extract import Features
from raynef.models.training import Trainer
from raynef.ops import plan as plan_module
from raynef.ops import rates
from raynef.ops.cost import exchanges, row_bytes, shapes_of, store_bytes
from raynef.ops.pace import StatedRates
from raynef.ops.plan import plan
from raynef.ops.rates import drawn_teachers
from raynef.stores.features import write_shard
from raynef.stores.progress import StoreProgress
from tests.tiny import change

SMALL = Recipe(
    data=Data(short_side=64, crop=64, num_views=2, scale=(1.0, 1.0)),
    graph=Graph(num_neighbors=8),
    eigen=Eigen(num_eigenfunctions=6),
    train=Train(batch_size=4, epochs=2),
    evaluate=Evaluate(short_side=64, crop=64),
)
STATED = StatedRates(
    decode_images_per_second=100,
    extract_images_per_second=200,
    score_images_per_second=50,
    step_seconds=0.5,
    store_gb_per_second=1,
    write_gb_per_second=1,
    network_gb_per_second=1,
    message_seconds=0,
)


def sizes(recipe, *, dim, grid, images=8, workers=1):
    return shapes_of(
        recipe,
        num_images=images,
        num_workers=workers,
        side=16 * grid,
        patch_size=16,
        dim=dim,
        num_taps=3,
        valid=1.0,
        images_per_shard=4,
    )


def random_features(images, grid, dim):
    generator = torch.Generator().manual_seed(0)
    return Features(
        torch.randn((images, 3, grid * grid, dim), generator=generator),
        torch.rand((images, grid, grid, 3), generator=generator),
        torch.ones((images, grid, grid), dtype=torch.bool),
    )


@pytest.mark.parametrize(("grid", "dim"), [(20, 192), (30, 384), (14, 128)])
@pytest.mark.parametrize("bits", [16, 8])
def test_the_store_has_the_size_that_is_planned(tmp_path, grid, dim, bits):
    planned = sizes(change(SMALL, data={"stored_bits": bits}), dim=dim, grid=grid)
    journal = StoreProgress(tmp_path, {"num_views": 2})
    for number, (view, first) in enumerate((v, f) for v in range(2) for f in (0, 4)):
        shard = write_shard(
            tmp_path,
            file=f"shard-{number:06d}.parquet",
            view=view,
            images=list(range(first, first + 4)),
            features=random_features(4, grid, dim),
            bits=bits,
        )
        journal.add(shard, {})
    journal.complete()
    written = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert store_bytes(planned) == pytest.approx(written, rel=0.02)
    assert row_bytes(planned) * 16 == store_bytes(planned)


class Counting:
    """Collectives that write down what they were asked for."""

    def __init__(self, inner):
        self.inner, self.rank, self.world_size = inner, inner.rank, inner.world_size
        self.seen = []

    def _note(self, kind, value):
        self.seen.append((kind, value.numel() * value.element_size()))

    def all_gather_rows(self, rows, counts):
        gathered = self.inner.all_gather_rows(rows, counts)
        self._note("gather", gathered)
        return gathered

    def all_reduce_sum(self, value):
        self._note("reduce", value)
        return self.inner.all_reduce_sum(value)

    def begin_sum(self, value):
        self._note("reduce", value)
        return self.inner.begin_sum(value)

    def reduce_scatter_rows(self, rows, counts):
        self._note("scatter", rows)
        return self.inner.reduce_scatter_rows(rows, counts)


LEARNED = dataclasses.replace(
    SMALL,
    data=dataclasses.replace(SMALL.data, views="shifted"),
    eigen=dataclasses.replace(SMALL.eigen, objective="clusterings", network="convolution"),
)


def step_on(collectives, first, stop, recipe=SMALL):
    whole = random_features(4, 5, 12)
    part = Features(*(value[first:stop] for value in vars(whole).values()))
    counting = Counting(collectives)
    teachers = drawn_teachers(recipe, 12)
    trainer = Trainer(recipe, in_dim=36, num_steps=4, collectives=counting, teachers=teachers)
    trainer.step(part, range(first, stop), epoch=0)
    return counting.seen


def step_of_rank(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    seen = [step_on(Distributed(), 2 * rank, 2 * rank + 2, recipe) for recipe in (SMALL, LEARNED)]
    (Path(folder) / f"rank{rank}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


def test_a_step_exchanges_what_is_planned(one_thread, tmp_path):
    def planned(recipe, **changes):
        found = exchanges(sizes(recipe, dim=12, grid=5, **changes))
        return [(exchange.kind, exchange.payload) for exchange in found]

    recipes = (SMALL, LEARNED)
    for recipe in recipes:
        assert step_on(SingleProcess(), 0, 4, recipe) == planned(recipe)
    mp.start_processes(step_of_rank, args=(str(tmp_path),), nprocs=2, start_method="forkserver")
    for rank in range(2):
        seen = json.loads((tmp_path / f"rank{rank}.json").read_text())
        for recipe, of_recipe in zip(recipes, seen, strict=True):
            assert [tuple(entry) for entry in of_recipe] == planned(recipe, workers=2)


def refuse(name):
    def fail(*_, **__):
        raise AssertionError(f"{name} was measured")

    return fail


def test_stated_rates_are_not_measured_and_decide(monkeypatch):
    for name in ("decode_rate", "extract_rate", "score_rate", "pair_rate", "step_rates"):
        monkeypatch.setattr(rates, name, refuse(name))
    monkeypatch.setattr(rates, "store_rates", refuse("store_rates"))
    monkeypatch.setattr(plan_module, "network_rates", refuse("network_rates"))
    found = plan(SMALL, images=400, val_images=100, gpus=2, cores=4, stated=STATED)
    assert found["workers"] == 2
    # 800 views: 4 cores decode 400/s, 2 devices take 400/s; 200 steps of a quarter of a second.
    assert found["hours"]["features"] == pytest.approx(800 / 400 / 3600, rel=1e-3)
    assert found["step_seconds"]["step"] == 0.25
    assert found["hours"]["training"] == pytest.approx(
        200 * (0.25 + found["step_seconds"]["communication"]) / 3600, rel=1e-3
    )
    assert {rate["from"] for rate in found["rates"].values()} == {"stated"}
    assert not any(
        word in line
        for word in ("processor", "other work", "measured")
        for line in found["assumed"]
    )
    slower = dataclasses.replace(STATED, extract_images_per_second=20)
    slow = plan(SMALL, images=400, val_images=100, gpus=2, cores=4, stated=slower)
    assert slow["hours"]["features"] == pytest.approx(10 * found["hours"]["features"], rel=1e-3)
    assert slow["limits"]["features"] == "backbone"


def test_gpus_that_are_not_here_are_planned_loudly(monkeypatch, caplog):
    monkeypatch.setattr(plan_module.torch.cuda, "is_available", lambda: False)
    known = dataclasses.replace(STATED, extract_images_per_second=None, step_seconds=None)
    known = dataclasses.replace(known, pairs_per_second=None, step_images_per_second=None)
    with caplog.at_level("WARNING", logger="raynef"):
        found = plan(SMALL, images=400, gpus=4, stated=known)
    assert "NO GPU IS HERE" in caplog.text
    assert any("machines like this one" in line for line in found["assumed"])
    assert found["rates"]["extract_images_per_second"]["from"] == "measured"
    assert found["rates"]["decode_images_per_second"]["from"] == "stated"


def photographs(root, count=3):
    for split in ("train", "val"):
        for number in range(count):
            noise = np.random.default_rng(number).integers(0, 256, (80, 100, 3), np.uint8)
            (root / "images").mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise).save(root / "images" / f"{split}{number}.jpg")
        names = [f"{split}{number}" for number in range(count)]
        (root / f"{split}.txt").write_text("\n".join(names))
        count -= 1


@pytest.mark.parametrize("protocol", ["reco", "sliding"])
def test_everything_is_measured_and_counted_from_a_folder(tmp_path, monkeypatch, protocol):
    monkeypatch.setattr(rates, "_PATIENCE_S", 0.05)
    photographs(tmp_path)
    recipe = dataclasses.replace(
        SMALL,
        data=dataclasses.replace(SMALL.data, root=str(tmp_path)),
        evaluate=Evaluate(protocol=protocol, short_side=64, crop=64, window=48, stride=32),
    )
    found = plan(recipe, workers=2)
    assert (found["images"], found["val_images"], found["workers"]) == (3, 2, 2)
    assert all(math.isfinite(rate["value"]) for rate in found["rates"].values())
    assert {rate["from"] for rate in found["rates"].values()} == {"measured"}
    assert all(hours > 0 for hours in found["hours"].values())
    assert found["bytes"]["sent_per_step_and_worker"] > 0
    assert found["hours"]["all"] == pytest.approx(
        sum(value for name, value in found["hours"].items() if name != "all"), rel=1e-3
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gpus": 0}, "--gpus must be a whole number >= 1, got 0"),
        ({"images": -5.0}, "--images must be"),
        ({"images": 1.5}, "--images must be"),
        ({"images": math.inf}, "--images must be"),
        ({"images": math.nan}, "--images must be"),
        ({"images": None}, "--images, such as 1.28e6"),
        ({"images": 1.0, "workers": 2}, "cannot be shared by 2 workers"),
        ({"workers": 9}, "train.num_workers"),
        ({"gpus": 2, "workers": 3}, "--workers 3 need a GPU each"),
        ({"cores": -1}, "--cores"),
        ({"stated": StatedRates(step_seconds=0)}, "--rates.step-seconds"),
        ({"stated": StatedRates(network_gb_per_second=-1)}, "--rates.network-gb-per-second"),
        ({"stated": StatedRates(store_gb_per_second=math.nan)}, "--rates.store-gb-per-second"),
    ],
)
def test_what_cannot_be_is_refused(change, said):
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        plan(SMALL, **{"images": 100.0, **change})


def test_a_crop_that_patches_do_not_divide_is_refused():
    recipe = dataclasses.replace(SMALL, data=dataclasses.replace(SMALL.data, crop=70))
    with pytest.raises(UserError, match=r"data\.crop must be a multiple"):
        plan(recipe, images=100, stated=STATED)


def test_the_command_needs_neither_weights_nor_images(capsys):
    """Of a model whose weights are on a hub; one JSON line; presets and 1.28e6 are understood."""
    line = ["plan", "--recipe", "imagenet", "--images", "1.28e6", "--val-images", "5000"]
    line += ["--gpus", "8", "--cores", "64"]
    for name, value in dataclasses.asdict(STATED).items():
        if value is not None:
            line += [f"--rates.{name.replace('_', '-')}", str(value)]
    with pytest.raises(SystemExit) as exit_:
        main(line)
    assert exit_.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["steps"]) == (1_280_000, 400_000)
    assert found["bytes"]["store"] == 0  # streamed
    assert {"scan", "training", "evaluation", "start", "all"} == found["hours"].keys()
    assert found["assumed"]


def test_a_mistake_exits_with_2(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["plan", "--recipe", "demo", "--images", "100", "--gpus", "0"])
    assert exit_.value.code == 2
    assert "--gpus" in capsys.readouterr().err


def test_backbone_of_another_width_has_another_row():
    """D and the patch come from the model itself."""
    recipe = dataclasses.replace(SMALL, backbone=Backbone(name="vit_small_patch16_224"))
    small = plan(recipe, images=100, stated=STATED)["bytes"]["row"]
    own = plan(SMALL, images=100, stated=STATED)["bytes"]["row"]
    assert small - own == 16 * 2 * 3 * (384 - 192)
