"""MLflow, on a database in a file."""

import numpy as np
import pytest

from raynef.io.loggers.backend import Log, open_backend

mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
pytest.importorskip("sqlalchemy", reason="mlflow-skinny keeps no database without it")


def test_a_run_is_written_and_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where MLflow keeps files besides
    place = f"sqlite:///{tmp_path / 'mlflow.db'}"
    config = {f"section.{i}": i for i in range(150)}  # more than one request takes
    log = Log(tmp_path, "run", config, ("train/loss",))
    first = open_backend("mlflow", log, place=place, known=None)
    assert first.last_step() == 0
    first.scalars({"train/loss": 2.0}, step=1)
    first.close("stopped")

    client = mlflow.MlflowClient(tracking_uri=place)
    assert client.get_run(first.id).info.status == "KILLED"
    second = open_backend("mlflow", log, place=place, known=first.id)
    assert second.last_step() == 1
    second.scalars({"train/loss": 1.5}, step=2)
    second.scores({"evaluate/miou": 0.25}, step=2)
    second.images({"overlays/0": np.zeros((4, 6, 3), np.uint8)}, step=2)
    second.close("finished")

    run = client.get_run(first.id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert run.data.params == {name: str(value) for name, value in config.items()}
    assert run.data.metrics == {"train/loss": 1.5, "evaluate/miou": 0.25}
    history = client.get_metric_history(first.id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2.0), (2, 1.5)]
    assert [file.path for file in client.list_artifacts(first.id, "overlays")] == ["overlays/0.png"]
