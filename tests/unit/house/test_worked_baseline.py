"""A new baseline, as CONTRIBUTING.md shows it, in a copy of the package."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raynef.config.recipe import to_dict
from raynef.core import IGNORE
from raynef.models.segmenter import Segmenter
from raynef.stores.features import FeatureStore
from tests.tiny import change
from tests.worked import carry_out, run

MAKE = "baseline exemplars --recipe mine.yaml --out RUN"
COMMANDS = {
    "made": MAKE,
    "again": MAKE,
    "changed": f"{MAKE} --kmeans.max-points 50",
    "status": "status RUN",
    "compared": "compare table.yaml --out OUT",
}
ALL = f"""
import json
import sys

import torch
from raynef.cli.main import main
from raynef.cluster.place import this_process

torch.set_num_threads(1)
for command in {list(COMMANDS.values())}:
    with this_process():
        try:
            main(command.split())
        except SystemExit as exit_:
            if exit_.code:
                print(json.dumps({{"status": exit_.code}}))
"""
TABLE = "recipe: mine.yaml\ncolumns: [exemplars, kmeans]\nrows: [{name: sample}]\n"


@pytest.fixture(scope="module")
def copy(tmp_path_factory, recipe) -> Path:
    """With a recipe of the tiny sample, and a table of the baseline beside K-means."""
    copy = carry_out("A new baseline", tmp_path_factory.mktemp("baseline"))
    store = change(recipe, train={"store": "store"})
    (copy / "mine.yaml").write_text(json.dumps(to_dict(store)), encoding="utf-8")
    (copy / "table.yaml").write_text(TABLE, encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def results(copy) -> dict[str, dict]:
    """Of each of the commands, in one process; the stderr of all as "said"."""
    done = run(copy, "-c", ALL)
    assert done.returncode == 0, done.stderr
    found = map(json.loads, done.stdout.splitlines())
    return {**dict(zip(COMMANDS, found, strict=True)), "said": {"text": done.stderr}}


def test_it_is_a_command_with_help(copy):
    assert "  baseline exemplars   K random patches.\n" in run(copy, "--help").stdout
    assert "--kmeans.max-points" in run(copy, "baseline", "exemplars", "--help").stdout


def test_its_centers_are_patches_of_the_training_views(results, copy):
    made = results["made"]
    assert (made["kind"], made["num_clusters"], made["supervised"]) == ("exemplars", 12, False)
    weight = Segmenter.load(copy / "RUN").head.head.weight.detach().numpy()
    store = FeatureStore(copy / "store")
    views = [store.read(store.images(), view=view).taps[:, -1] for view in (0, 1)]
    rows = np.concatenate([view.flatten(0, 1).numpy() for view in views]).astype(np.float32)
    apart = np.abs(weight[:, None] / 2 - rows[None]).max(axis=2)
    assert apart.min(axis=1).max() == 0
    assert len(set(apart.argmin(axis=1))) == 12


def test_its_folder_belongs_to_its_recipe(results):
    """Also in the section of K-means, which it reads."""
    assert results["again"] == results["made"]
    assert results["changed"] == {"status": 2}
    assert "kmeans.max_points is 262144, not 50" in results["said"]["text"]
    status = results["status"]
    assert (status["method"], status["state"]) == ("exemplars", "finished")
    assert "a run of raynef baseline exemplars, finished" in results["said"]["text"]


def test_it_is_compared_with_kmeans(results, copy, sample):
    """It is better than one class for all pixels, which is right on the most frequent alone."""
    (row,) = results["compared"]["rows"]
    assert list(row["cells"]) == ["exemplars", "kmeans"]
    labels = [np.array(Image.open(path)).ravel() for path in (sample / "labels").glob("val_*")]
    counts = np.bincount(np.concatenate(labels), minlength=IGNORE)[:IGNORE]
    floor = counts.max() / counts.sum() / np.count_nonzero(counts)
    assert 1.5 * floor < row["cells"]["exemplars"][0]["miou"] < 1
    table = (copy / "OUT" / "table.md").read_text(encoding="utf-8")
    assert table.startswith("| | images | Exemplars | K-means |\n")
