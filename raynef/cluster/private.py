"""What raynef uses of Ray beyond its public API: private names, environment variables, messages.

tests/unit/cluster/test_private_ray.py checks each of them against the installed Ray, and that no
other file of the package uses one. Ray is imported within the functions: the command line and
``raynef submit`` load this file without it.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.train import FailureConfig
    from ray.train.torch import TorchTrainer

logger = logging.getLogger("raynef")

QUIET = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # else one report in two seconds
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Settings of a session that Ray takes from the environment alone."""
QUIET_TUNE = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the command, as any other of raynef
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # mIoU is there at rungs alone
    "TUNE_WARN_THRESHOLD_S": "60",
    "RAY_AIR_NEW_OUTPUT": "0",
}
"""Likewise of Ray Tune."""
IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray for what runs as a submitted job; the public API knows of a job only once joined."""
STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
"""Seconds that a stopped job may take to end: neither the Jobs API nor a runtime_env has them."""
SNAPSHOT = "checkpoint_manager_snapshot.json"
"""Ray Train's list of the checkpoints of a run, in the run's folder."""
SLOW_START = "timed out during startup"
REFUSED = b"InvalidAuthToken"
NO_AGENT = "No available agent"
"""Three failures that Ray tells apart by their text alone, see below."""


def set_environment(values: Mapping[str, str]) -> None:
    """Set ``QUIET`` or ``QUIET_TUNE`` where the user did not: there is no argument for them."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def folder_of_session(folder: Path) -> dict[str, Any]:
    """The argument of ``ray.init`` for its sockets and logs: publicly /tmp/ray, never pruned."""
    return {"_temp_dir": str(folder)}


def is_slow_start(error: Exception) -> bool:
    """Whether ``ray.init`` gave its processes up after 30 s: a bare Exception says so."""
    return SLOW_START in str(error)


def is_refused_token(said: bytes) -> bool:
    """Whether Ray's core wrote to stderr that a cluster refused the token.

    ``ray.init`` raises the same ConnectionError as where nobody answers.
    """
    return REFUSED in said


def is_starting_head(error: Exception) -> bool:
    """Whether a head takes no job yet: the Jobs API raises RuntimeError for all that it refuses."""
    return NO_AGENT in str(error)


def failure_policy(config: "FailureConfig", is_final: Callable[[Exception], bool]) -> Any:
    """Ray Train's own policy, but an error that ``is_final`` ends the training at once.

    A public FailureConfig counts failures and does not look at them.
    """
    from ray.train.v2._internal.execution.failure_handling import (
        DefaultFailurePolicy,
        FailureDecision,
    )

    class Policy(DefaultFailurePolicy):
        def make_decision(self, training_failed_error: Any) -> FailureDecision:
            if is_final(training_failed_error):
                return FailureDecision.RAISE
            return super().make_decision(training_failed_error)

    return Policy(config)


def stoppable_trainer(
    is_final: Callable[[Exception], bool], *args: Any, **kwargs: Any
) -> tuple["TorchTrainer", Callable[[float], None]]:
    """A TorchTrainer with ``failure_policy`` and signals left to us, and what stops it in seconds.

    Ray Train has no argument for a policy; its handler of Ctrl-C ends the process with status 0,
    knows no SIGTERM, and is the only public way to abort a training.
    """
    import ray
    from ray.train.torch import TorchTrainer

    controllers: list[Any] = []

    class Trainer(TorchTrainer):
        def _initialize_and_run_controller(self, **arguments: Any) -> Any:
            config = arguments["failure_policy"].failure_config
            arguments["failure_policy"] = failure_policy(config, is_final)
            return super()._initialize_and_run_controller(**arguments)

        def _register_sigint_handler(self, controller: Any) -> None:
            controllers.append(controller)

    def abort(timeout_s: float) -> None:
        for controller in controllers:
            ray.get(controller.abort.remote(), timeout=timeout_s)

    return Trainer(*args, **kwargs), abort


def forget_broken_record(folder: Path) -> None:
    """Move Ray Train's list of checkpoints aside where it is damaged, or lists what is gone.

    Ray would refuse to start; which checkpoint counts does not hang on that list.
    """
    record = folder / SNAPSHOT
    if not record.is_file():
        return
    try:
        listed = json.loads(record.read_text(encoding="utf-8"))["checkpoint_results"]
        if all((folder / entry["checkpoint_dir_name"]).is_dir() for entry in listed):
            return
    except (ValueError, KeyError, TypeError):
        pass
    logger.warning("%s is damaged; going on from the checkpoints themselves", record)
    record.replace(record.with_suffix(".damaged"))
