"""Which failures of workers are worth another try."""

import time
from pathlib import Path

import pytest
from ray.train import FailureConfig
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2.api.exceptions import WorkerGroupError

from raynef.cluster.causes import cause_within
from raynef.cluster.failures import Policy, RestartBackoff
from raynef.cluster.fit import Spread, fit
from raynef.core.errors import UserError


def decided(*errors: Exception) -> FailureDecision:
    policy = Policy(FailureConfig(max_failures=2))
    return policy.make_decision(WorkerGroupError("failed", dict(enumerate(errors))))


def test_a_lost_worker_is_worth_another_try_and_a_mistake_is_not():
    assert decided(RuntimeError("lost")) is FailureDecision.RETRY
    # The other ranks lose their peer, whatever its reason.
    mistake = decided(RuntimeError("connection closed"), UserError("no store"))
    assert mistake is FailureDecision.RAISE


def test_waits_grow_and_a_mistake_does_not_wait(monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    patience = RestartBackoff()
    for _ in range(5):
        patience.after_exception(None, {0: RuntimeError("lost")})
    patience.after_exception(None, {0: UserError("no store")})
    assert waits == [4, 8, 16, 30, 30]


def refuse(config, worker):
    """A loop that ends as by a store that is gone."""
    with Path(config["tries"]).open("a") as file:
        file.write("try\n")
    raise UserError("the store is gone")


@pytest.mark.ray
def test_a_mistake_in_a_worker_is_said_after_one_try(local_ray, tmp_path):
    config = {"threads": 1, "tries": str(tmp_path / "tries")}
    spread = Spread(1, gpu_share=1.0, max_failures=3, field="train.num_workers")
    with pytest.raises(Exception, match="gone") as failed:
        fit(refuse, config, tmp_path, tell=lambda event: None, spread=spread)
    assert str(cause_within(failed.value, UserError)) == "the store is gone"
    assert (tmp_path / "tries").read_text() == "try\n"
