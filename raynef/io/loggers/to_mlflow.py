"""MLflow, of the extra ``mlflow``: a run in the experiment ``raynef``."""

import importlib
import time
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from raynef.io.loggers.backend import Log, Status

EXPERIMENT = "raynef"
_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_AT_ONCE = 100  # parameters that MLflow takes in one request


def open_log(log: Log, *, place: str | None, known: str | None) -> "_MLflow":
    """As of ``open_backend``; ``place`` is the tracking address."""
    return _MLflow(log, place, known)


class _MLflow:
    def __init__(self, log: Log, address: str | None, known: str | None) -> None:
        self._entities: Any = importlib.import_module("mlflow.entities")
        mlflow: Any = importlib.import_module("mlflow")
        self._client = mlflow.MlflowClient(tracking_uri=address)
        self._metric = log.metrics[0] if log.metrics else None
        self.where = f"experiment {EXPERIMENT}, run {log.name}"
        if known is not None:
            self.id = known
            self._client.update_run(known, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        self.id = self._client.create_run(experiment, run_name=log.name).info.run_id
        params = [self._entities.Param(name, str(value)) for name, value in log.config.items()]
        for start in range(0, len(params), _AT_ONCE):
            self._client.log_batch(self.id, params=params[start : start + _AT_ONCE])

    def last_step(self) -> int | None:
        if self._metric is None:
            return None
        history = self._client.get_metric_history(self.id, self._metric)
        return max((metric.step for metric in history), default=0)

    def scalars(self, values: Mapping[str, float], *, step: int) -> None:
        now = int(1000 * time.time())
        made = self._entities.Metric
        metrics = [made(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self.id, metrics=metrics)

    def scores(self, values: Mapping[str, float], *, step: int) -> None:
        self.scalars(values, step=step)

    def images(self, images: Mapping[str, np.ndarray], *, step: int) -> None:
        for name, image in images.items():
            file = str(PurePosixPath(name).with_suffix(".png"))
            self._client.log_image(self.id, image, artifact_file=file)

    def close(self, status: Status) -> None:
        self._client.set_terminated(self.id, _STATUS[status])
