"""Which failures of workers are worth another try."""

import time

from ray.train import FailureConfig
from ray.train.v2._internal.execution.failure_handling import FailureDecision
from ray.train.v2.api.exceptions import WorkerGroupError

from raynef.cluster.failures import RestartBackoff, is_mistake
from raynef.cluster.private import failure_policy
from raynef.core.errors import UserError


def decided(*errors: Exception) -> FailureDecision:
    policy = failure_policy(FailureConfig(max_failures=2), is_mistake)
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
