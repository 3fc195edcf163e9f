"""What becomes of a training whose workers failed: they are started again, or it ends.

Ray Train's controller imports this in a process of its own: it stays light.
"""

import time
from typing import Any

from ray.train import UserCallback

from raynef.cluster.causes import cause_within
from raynef.core.errors import UserError


def is_mistake(error: BaseException) -> bool:
    """Whether the user's mistake is at the bottom of an error: another try would end the same."""
    return cause_within(error, UserError) is not None


class RestartBackoff(UserCallback):
    """Waits before the workers are started again, longer each time.

    Ray believes a dead node alive for some seconds (5 to 20), and would start them there again,
    and again, until ``max_failures`` is used up.
    """

    def __init__(self) -> None:
        self._failures = 0

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Runs before the decision."""
        if any(map(is_mistake, worker_exceptions.values())):
            return
        self._failures += 1
        time.sleep(min(30, 2 * 2**self._failures))
