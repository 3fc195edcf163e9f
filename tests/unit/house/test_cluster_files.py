"""cluster.yaml and the KubeRay manifest: well-formed, with a token, and open to nobody."""

import copy
import json
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from raynef.cli import commands
from raynef.cli.command import RecipeCommand
from raynef.cli.submit import refuse_local_paths
from raynef.config.presets import load_presets
from tests.known import a
from tests.places import ROOT

KUBERNETES = ROOT / "docs/kubernetes"
GPUS = {"g5.2xlarge": 1, "g5.12xlarge": 4, "m6i.2xlarge": 0, "c6i.4xlarge": 0}
PROVIDER = {"type", "region", "availability_zone", "cache_stopped_nodes"}
NODE = {"InstanceType", "ImageId", "SecurityGroupIds", "BlockDeviceMappings", "MetadataOptions"}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------- cluster.yaml


@pytest.fixture
def cluster() -> dict[str, Any]:
    return read(ROOT / "cluster.yaml")


def mistakes(cluster: dict[str, Any]) -> list[str]:
    """What Ray's own schema lets pass, and what would open the cluster."""
    types = cluster["available_node_types"]
    head_type = types.get(cluster["head_node_type"], {})
    nodes = {name: kind["node_config"] for name, kind in types.items()}
    starts = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    starts = [shlex.split(line) for line in starts if "ray start" in line]
    head = [line for line in starts if "--head" in line]
    setup = " ".join(cluster["setup_commands"])
    return [
        message
        for message, wrong in {
            "provider has an unknown key": set(cluster["provider"]) - PROVIDER,
            "a node has an unknown key": any(set(node) - NODE for node in nodes.values()),
            "the zone lies elsewhere": not cluster["provider"]["availability_zone"].startswith(
                cluster["provider"]["region"]
            ),
            "there is no such head": cluster["head_node_type"] not in types,
            "the head computes": head_type.get("resources") != {"CPU": 0, "GPU": 0},
            "an instance is unknown": {n["InstanceType"] for n in nodes.values()} - set(GPUS),
            "workers go beyond max_workers": sum(
                kind.get("max_workers", 0) for kind in types.values()
            )
            > cluster["max_workers"],
            "a node is not there from the beginning": any(
                kind.get("min_workers") != kind.get("max_workers")
                for name, kind in types.items()
                if name != cluster["head_node_type"]
            ),
            # Without a group Ray makes one that takes ssh from anywhere.
            "a node has no group of its own": any(
                not node.get("SecurityGroupIds") for node in nodes.values()
            ),
            "a port is opened": "security_group" in cluster["provider"]
            or "IpPermissions" in json.dumps(cluster),
            "the token is not mounted": cluster["file_mounts"].get("~/.ray/auth_token")
            != "~/.ray/auth_token",
            "the token may be read by others": "chmod 600 ~/.ray/auth_token" not in setup,
            "shells do not ask for the token": "RAY_AUTH_MODE=token" not in setup,
            "Ray starts without a token": not starts
            or any("RAY_AUTH_MODE=token" not in line for line in starts),
            "there is not one head": len(head) != 1,
            "the dashboard is open": any("--dashboard-host=127.0.0.1" not in line for line in head),
            "a worker has no head": any(
                "--address=$RAY_HEAD_IP:6379" not in line for line in starts if line not in head
            ),
        }.items()
        if wrong
    ]


def test_ray_takes_the_cluster_file(cluster):
    prepared = prepare_config(copy.deepcopy(cluster))
    validate_config(prepared)
    assert set(prepared["available_node_types"]) == {"head", "gpu_features", "gpu_train", "cpu"}
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config({**cluster, "idle_timeout": 10}))


def test_the_cluster_file_has_no_mistake(cluster):
    assert mistakes(cluster) == []


def test_its_node_types_are_what_they_are_called(cluster):
    types = cluster["available_node_types"]
    gpus = {name: GPUS[kind["node_config"]["InstanceType"]] for name, kind in types.items()}
    assert (gpus["head"], gpus["cpu"]) == (0, 0)
    assert gpus["gpu_features"] > 0
    assert gpus["gpu_train"] > 0


@pytest.mark.parametrize(
    ("message", "spoil"),
    [
        ("provider has an unknown key", lambda c: c["provider"].update(regoin="x")),
        ("a node has an unknown key", lambda c: node(c, "cpu").update(KeyNaem="x")),
        ("the zone lies elsewhere", lambda c: c["provider"].update(region="us-west-2")),
        ("there is no such head", lambda c: c.update(head_node_type="haed")),
        ("workers go beyond max_workers", lambda c: c.update(max_workers=4)),
        ("a node has no group of its own", lambda c: node(c, "cpu").pop("SecurityGroupIds")),
        ("a port is opened", lambda c: c["provider"].update(security_group={})),
        ("the token is not mounted", lambda c: c["file_mounts"].clear()),
        ("the token may be read by others", lambda c: c["setup_commands"].pop(0)),
        ("Ray starts without a token", lambda c: start(c, "RAY_AUTH_MODE=token ", "")),
        ("the dashboard is open", lambda c: start(c, "host=127.0.0.1", "host=0.0.0.0")),
        ("a worker has no head", lambda c: start(c, "$RAY_HEAD_IP", "localhost", "worker")),
    ],
)
def test_mistakes_are_seen(cluster, message, spoil):
    spoil(cluster)
    assert message in mistakes(cluster)


def node(cluster: dict[str, Any], name: str) -> dict[str, Any]:
    cluster["available_node_types"][name]["node_config"] = dict(
        cluster["available_node_types"][name]["node_config"]
    )
    return cluster["available_node_types"][name]["node_config"]


def start(cluster: dict[str, Any], old: str, new: str, kind: str = "head") -> None:
    key = f"{kind}_start_ray_commands"
    cluster[key] = [line.replace(old, new) for line in cluster[key]]


# ------------------------------------------------------------------------------------- KubeRay


@pytest.fixture
def manifest() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / "rayjob.yaml").read_text(encoding="utf-8")))


@pytest.fixture
def rayjob(manifest) -> dict[str, Any]:
    return next(part for part in manifest if part["kind"] == "RayJob")


def check_schema(rayjob: dict[str, Any]) -> None:
    schema = json.loads((KUBERNETES / "rayjob.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(rayjob)


def pods(rayjob: dict[str, Any]) -> list[dict[str, Any]]:
    ray = rayjob["spec"]["rayClusterSpec"]
    groups = [ray["headGroupSpec"], *ray["workerGroupSpecs"]]
    return [group["template"] for group in groups]


def test_the_manifest_keeps_to_the_schema(rayjob):
    check_schema(rayjob)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "entrypiont"), "raynef"),
        (("spec", "submissionMode"), "K8sJob"),
        (("spec", "backoffLimit"), "2"),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "tokens"),
        (("spec", "rayClusterSpec", "rayVersion"), 2.6),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "replica"), 1),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "volume"), []),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "groupName"), "gpu_features"),
    ],
)
def test_the_schema_sees_mistakes(rayjob, path, value):
    rayjob = json.loads(json.dumps(rayjob))  # anchors share their parts
    inner: Any = rayjob
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check_schema(rayjob)


def test_the_manifest_asks_for_a_token_and_runs_unprivileged(rayjob):
    assert rayjob["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    for pod in [*pods(rayjob), rayjob["spec"]["submitterPodTemplate"]]:
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in pod["spec"]["containers"]:
            security = container["securityContext"]
            assert security["runAsNonRoot"] is True
            assert security["allowPrivilegeEscalation"] is False


def test_only_its_own_pods_and_the_operator_reach_its_pods(manifest, rayjob):
    (policy,) = (part for part in manifest if part["kind"] == "NetworkPolicy")
    labels = policy["spec"]["podSelector"]["matchLabels"]
    for pod in [*pods(rayjob), rayjob["spec"]["submitterPodTemplate"]]:
        assert labels.items() <= pod["metadata"]["labels"].items()
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    sources = [source for rule in policy["spec"]["ingress"] for source in rule["from"]]
    assert all(source["podSelector"]["matchLabels"] for source in sources)
    assert not any("ipBlock" in source for source in sources)


def test_every_mount_has_its_volume_and_shared_memory_fits(manifest, rayjob):
    (claim,) = (part for part in manifest if part["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in pods(rayjob):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        (container,) = pod["spec"]["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) <= set(volumes)
        assert (
            volumes[mounts["/mnt/shared"]]["persistentVolumeClaim"]["claimName"]
            == claim["metadata"]["name"]
        )
        shm = volumes[mounts["/dev/shm"]]["emptyDir"]
        assert shm["medium"] == "Memory"
        memory = gibibytes(container["resources"]["limits"]["memory"])
        # Ray takes 30 % of the memory for objects, and warns where /dev/shm is smaller.
        assert 0.3 * memory <= gibibytes(shm["sizeLimit"]) < 0.5 * memory


def gibibytes(quantity: str) -> int:
    assert quantity.endswith("Gi")
    return int(quantity[:-2])


def test_gpus_are_enough_for_the_workers_that_the_command_asks_for(rayjob):
    program, *command = shlex.split(rayjob["spec"]["entrypoint"])
    assert program == "raynef"
    asked = a(RecipeCommand, commands.read(command))
    load_presets(asked.presets)
    refuse_local_paths(asked)
    groups = {
        group["groupName"]: group for group in rayjob["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    }
    gpus = {
        name: group["replicas"]
        * int(
            group["template"]["spec"]["containers"][0]["resources"]["limits"].get(
                "nvidia.com/gpu", 0
            )
        )
        for name, group in groups.items()
    }
    assert asked.config.train.num_workers <= gpus["gpu-train"]
    assert gpus["gpu-features"] > 0
    assert gpus["cpu"] == 0
    for group in groups.values():
        assert group["minReplicas"] == group["replicas"] == group["maxReplicas"]
