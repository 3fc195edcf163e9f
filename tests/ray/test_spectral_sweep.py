"""Sweeps of Deep Spectral Methods: what trials share, and what becomes of their scores."""

from pathlib import Path

import pytest

from raynef.io.files import read_json
from raynef.sweeps.space import Axis
from raynef.sweeps.sweep import DataSet
from raynef.sweeps.table import write_tables
from raynef.sweeps.tune import sweep
from tests.unit.sweeps import test_spectral_sweep as unit
from tests.unit.sweeps.test_spectral_sweep import COLOR, INF, space

boxes = unit.boxes


@pytest.mark.slow
def test_a_sweep_on_ray(boxes, local_ray, tmp_path):
    weights = Axis(COLOR.key, "grid", (0, INF))
    asked = space(weights, methods=("localize", "lost"), metrics=("corloc",), columns=COLOR.key)
    data, out = [DataSet("squares", boxes)], tmp_path / "sweep"
    result = sweep(asked, data, out)
    assert (result["trials"], result["done"], result["ok"]) == (2, 2, True)
    assert len(list((out / "features").iterdir())) == 1
    (best,) = out.glob("trials/*color_weight=inf*/result.json")
    assert read_json(best)["scores"][0]["corloc"] == 1.0
    assert sweep(asked, data, out) == result
    assert "λ = ∞" in Path(write_tables(out)["table"]).read_text()


@pytest.mark.slow
def test_a_block_that_is_not_there_fails_its_trial_alone(boxes, local_ray, tmp_path):
    block = Axis("spectral.block", "grid", (-1, 40))
    asked = space(block, methods=("localize",), metrics=("corloc",), columns=block.key)
    result = sweep(asked, [DataSet("squares", boxes)], tmp_path / "sweep")
    assert (result["done"], result["ok"]) == (1, False)
    (error,) = result["failed"].values()
    assert "spectral.block 40" in error
