"""Several seeds of one recipe: one store, a run each, and their mean."""

import json

import numpy as np
import pytest

from raynef.cli.main import main
from raynef.cluster.place import this_process
from raynef.core.errors import UserError
from raynef.io.files import read_json
from raynef.jobs.seeds import over_seeds, summarize
from raynef.jobs.train import train
from raynef.stores.run import runs_of

pytestmark = pytest.mark.usefixtures("without_ray")


@pytest.fixture(scope="module")
def seeds(recipe, one_thread, tmp_path_factory):
    out = tmp_path_factory.mktemp("seeds") / "runs"
    with this_process():
        return out, over_seeds(train, recipe, out, (0, 3))


def test_one_run_for_each_seed_on_one_store(seeds):
    out, result = seeds
    assert result["seeds"] == [0, 3]
    assert runs_of(out) == [out / "seed-0", out / "seed-3"]
    losses = [run["objective"]["loss"] for run in result["runs"]]
    assert losses[0] != losses[1]
    stores = [read_json(run / "run.json")["recipe"]["train"]["store"] for run in runs_of(out)]
    assert stores == [str(out / "store")] * 2
    assert not (out / "seed-0" / "store").exists()


def test_evaluate_gives_mean_and_deviation(seeds, capsys):
    out, _ = seeds
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate", str(out)])
    assert exit_.value.code == 0
    summary = json.loads(capsys.readouterr().out)
    each = [read_json(run / "evaluate.json")["miou"] for run in runs_of(out)]
    np.testing.assert_allclose(summary["miou"], np.mean(each))
    np.testing.assert_allclose(summary["miou_sd"], np.std(each, ddof=1))
    assert summary["num_images"] == 4
    assert read_json(out / "evaluate.json") == summary


def test_more_seeds_later_and_finished_ones_are_not_run_again(seeds, recipe):
    out, _ = seeds
    before = (out / "seed-0" / "segmenter" / "model.safetensors").stat().st_mtime_ns
    over_seeds(train, recipe, out, (0,))
    assert (out / "seed-0" / "segmenter" / "model.safetensors").stat().st_mtime_ns == before
    assert len(runs_of(out)) == 2


def test_mistakes(seeds, recipe, tmp_path):
    out, _ = seeds
    with pytest.raises(UserError, match="is a run of one seed"):
        over_seeds(train, recipe, out / "seed-0", (1, 2))
    with pytest.raises(UserError, match="names 1 more than once"):
        over_seeds(train, recipe, tmp_path / "twice", (1, 1))
    (tmp_path / "seeds.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"seeds\.json is damaged"):
        runs_of(tmp_path)


def test_the_mean_of_crf_scores_too(tmp_path):
    results = [
        {"run": "a", "miou": m, "accuracy": m, "num_images": 2, "protocol": "p", "crf": crf}
        for m, crf in [(0.2, {"miou": 0.4, "accuracy": 0.5}), (0.4, {"miou": 0.6, "accuracy": 0.7})]
    ]
    summary = summarize(tmp_path, results)
    np.testing.assert_allclose(summary["crf"]["miou"], 0.5)
    np.testing.assert_allclose(summary["crf"]["accuracy_sd"], 0.1 * 2**0.5)
