"""What becomes of a training whose workers failed: they are started again, or it ends.

Ray Train's controller runs this in a process of its own, which imports it: so it stays light.
"""

import time
from typing import Any

from ray.train import UserCallback
from ray.train.v2._internal.execution.failure_handling import (
    DefaultFailurePolicy,
    FailureDecision,
)
from ray.train.v2.api.exceptions import TrainingFailedError

from raynef.cluster.causes import cause_within
from raynef.core.errors import UserError


class Policy(DefaultFailurePolicy):
    """Ray Train's, but the user's mistake ends it at once: another try would end the same."""

    def make_decision(self, training_failed_error: TrainingFailedError) -> FailureDecision:
        if cause_within(training_failed_error, UserError) is not None:
            return FailureDecision.RAISE
        return super().make_decision(training_failed_error)


class RestartBackoff(UserCallback):
    """Waits before the workers are started again, longer each time.

    Ray believes a dead node alive for some seconds (5 to 20), and would start them there again,
    and again, until ``max_failures`` is used up.
    """

    def __init__(self) -> None:
        self._failures = 0

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Runs before the decision."""
        if any(cause_within(error, UserError) for error in worker_exceptions.values()):
            return
        self._failures += 1
        time.sleep(min(30, 2 * 2**self._failures))
