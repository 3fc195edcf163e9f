"""Ray clusters of two nodes on this machine: two raylets, each with workers of its own."""

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest
import ray
from ray.cluster_utils import Cluster

from raynef.cluster.session import ray_session

_ENV = {
    "RAY_AUTH_MODE": "disabled",  # all of it is on this machine
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
}

Start = Callable[..., Cluster]


@pytest.fixture
def start() -> Iterator[Start]:
    """start(head, second, …): a cluster of nodes with these ``add_node`` arguments each, joined."""
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name, value in _ENV.items():
            patch.setenv(name, value)

        def up(*nodes: dict) -> Cluster:
            assert not ray.is_initialized(), "run these with -m cluster, apart from other tests"
            cluster = Cluster()
            stack.callback(cluster.shutdown)
            # The head's dashboard: the State API, without which Train leaks placement groups.
            board = {"include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": 0}
            for node in nodes:
                usual = {"num_cpus": 2, "object_store_memory": 200 << 20}
                cluster.add_node(**{**usual, **board, **node})
                board = {}
            cluster.wait_for_nodes()
            stack.enter_context(ray_session(cluster.address))
            return cluster

        yield up
    os.environ.pop("RAY_ADDRESS", None)
