"""The Ray cluster at an address: what it has, and whether its nodes can do raynef's work."""

import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raynef.cluster.session import ray_session
from raynef.core.amounts import in_bytes
from raynef.core.errors import UserError
from raynef.ops.doctor.finding import Finding, Outcome, check

_ANSWER_S = 60.0  # a worker process starts, and imports raynef
_COMPARED = ("raynef", "torch", "ray", "numpy", "pyarrow")


def cluster_findings(address: str) -> list[Finding]:
    """Join the cluster, ask each node for its versions, and leave."""
    try:
        with ray_session(address, min_cpus=0):
            nodes = [node for node in ray.nodes() if node["Alive"]]
            whole = cluster_finding(address, ray.cluster_resources(), nodes)
            return [whole, *nodes_findings(nodes)]
    except UserError as error:
        advice = (
            "is it up (ray status on its head), can this machine reach it, is the Ray there of "
            f"version {ray.__version__}, and is its token here (RAY_AUTH_TOKEN_PATH)?"
        )
        return [Finding("cluster", "fail", str(error), advice)]


@check("cluster")
def cluster_finding(
    address: str, resources: Mapping[str, float], nodes: list[dict[str, Any]]
) -> Outcome:
    """What the cluster has in all."""
    cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    found = (
        f"{address}: {len(nodes)} node(s), {cpus:g} CPUs, {gpus:g} GPUs, "
        f"{in_bytes(resources.get('memory', 0))} of memory, "
        f"{in_bytes(resources.get('object_store_memory', 0))} of object store"
    )
    return ("ok", found) if cpus >= 2 else ("fail", found, "raynef needs 2 CPUs of it: add nodes")


def versions() -> dict[str, str]:
    """Task: the versions on a node."""
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in _COMPARED
    }


def nodes_findings(nodes: list[dict[str, Any]]) -> list[Finding]:
    """One for each node: whether raynef runs there, in these versions."""
    here = versions()
    task = ray.remote(num_cpus=0)(versions)
    asked = {
        node["NodeID"]: task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in nodes
    }
    answered, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=_ANSWER_S)
    findings = []
    for node in nodes:
        name = f"node {node['NodeManagerAddress']}"
        answer = asked[node["NodeID"]]
        if answer not in answered:
            words = f"no answer within {_ANSWER_S:.0f} s"
            findings.append(Finding(name, "fail", words, "ray status and its logs say more"))
            continue
        try:
            findings.append(versions_finding(name, ray.get(answer), here))
        except Exception as error:  # noqa: BLE001  # whatever a node lacks
            reason = str(error).strip().splitlines()[-1]
            advice = f"install raynef {here['raynef']} there, as it is here"
            findings.append(Finding(name, "fail", reason, advice))
    return findings


def versions_finding(name: str, there: dict[str, str], here: dict[str, str]) -> Finding:
    """Whether a node has what the driver has."""
    other = [f"{key} {there[key]} (here {here[key]})" for key in here if there[key] != here[key]]
    if not other:
        return Finding(name, "ok", "the same versions as here")
    return Finding(name, "warn", ", ".join(other), "install the same versions on every node")
