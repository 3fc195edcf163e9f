"""raynef doctor: every kind of problem is provoked, and has its verdict and its advice."""

import importlib.metadata
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from raynef.core.amounts import in_bytes
from raynef.ops.doctor import examine, libraries, limits, machine, packages, settings
from raynef.ops.doctor.finding import Finding, findings_of

GB = 10**9
Usage = namedtuple("Usage", "total used free")


def disk(monkeypatch, *, free: float, total: float = 100 * GB) -> None:
    usage = Usage(int(total), int(total - free), int(free))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def kernel(monkeypatch, tmp_path: Path, files: dict[str, str]) -> None:
    """A /proc and a /sys/fs/cgroup that say what a test wants."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(limits, "PROC", tmp_path / "proc")
    monkeypatch.setattr(limits, "CGROUP", tmp_path / "cgroup")


def meminfo(total: float, available: float) -> dict[str, str]:
    lines = f"MemTotal: {int(total / 1024)} kB\nMemAvailable: {int(available / 1024)} kB\n"
    return {"proc/meminfo": lines}


# --------------------------------------------------------------------------------------- versions


def test_what_is_installed_here_will_do():
    found = {finding.name: finding for finding in packages.package_findings()}
    names = {"python", "raynef", "torch", "timm", "ray", "numpy", "pyarrow", "faiss-cpu"}
    assert names <= found.keys()
    assert not names & {"pytest", "optuna"}  # of extras
    for finding in found.values():
        assert (finding.verdict, finding.advice) == ("ok", "")
    assert found["torch"].found == importlib.metadata.version("torch")


@pytest.mark.parametrize(
    ("required", "installed", "verdict", "found", "advice"),
    [
        ("torch>=2.5", {"torch": "2.5.1+cu121"}, "ok", "2.5.1+cu121", ""),
        ("torch>=2.5", {"torch": "2.6.0.dev1"}, "ok", "2.6.0.dev1", ""),
        ("torch>=2.5", {}, "fail", "is not installed", "pip install 'torch>=2.5'"),
        ("torch>=2.5", {"torch": "2.4"}, "fail", "2.4, but >=2.5 is", "pip install 'torch>=2.5'"),
        ("ray[data,tune]>=2.59,<2.62", {"ray": "2.64"}, "fail", "2.64, but", "'ray[data,tune]"),
        ("faiss-cpu>=1.9", {"faiss-gpu": "1.7.2"}, "ok", "faiss-gpu 1.7.2", ""),
        ("faiss-cpu>=1.9", {"faiss-cpu": "1.7.2"}, "fail", "1.7.2, but", "'faiss-cpu>=1.9'"),
    ],
)
def test_a_package(required, installed, verdict, found, advice, monkeypatch):
    def version(name):
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    finding = packages.package_finding(Requirement(required))
    assert finding.verdict == verdict
    assert found in finding.found
    assert advice in finding.advice
    assert bool(advice) == bool(finding.advice)


@pytest.mark.parametrize(("version", "verdict"), [("3.10.4", "fail"), ("3.11.0", "ok")])
def test_python(version, verdict):
    finding = packages.python_finding(version, ">=3.11")
    assert (finding.verdict, bool(finding.advice)) == (verdict, verdict == "fail")


def test_a_folder_that_is_not_installed(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", missing)
    (finding,) = packages.package_findings()
    assert (finding.verdict, "pip install ." in finding.advice) == ("warn", True)


# ---------------------------------------------------------------------------------------- machine


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"cgroup/cpu.max": "max 100000\n"}, None),
        ({"cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "cgroup/cpu.max": "400000 100000",
                "cgroup/a/cpu.max": "200000 100000",
                "cgroup/a/b/cpu.max": "max 100000",
                "cgroup/c/cpu.max": "10000 100000",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "5:cpuacct,cpu:/docker/x\n",
                "cgroup/cpu/docker/x/cpu.cfs_quota_us": "50000",
                "cgroup/cpu/docker/x/cpu.cfs_period_us": "100000",
            },
            0.5,
        ),
        ({"cgroup/cpu/cpu.cfs_quota_us": "-1", "cgroup/cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_the_quota_of_cores(files, quota, monkeypatch, tmp_path):
    kernel(monkeypatch, tmp_path, files)
    assert limits.cpu_quota() == quota


def test_cores_that_may_not_be_used(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    kernel(monkeypatch, tmp_path, {})
    assert machine.cores_finding() == Finding("cores", "ok", "8")
    kernel(monkeypatch, tmp_path, {"cgroup/cpu.max": "150000 100000\n"})
    finding = machine.cores_finding()
    assert (finding.verdict, finding.found) == ("warn", "8, of which this process may use 2")
    assert "docker run --cpus" in finding.advice
    kernel(monkeypatch, tmp_path, {"cgroup/cpu.max": "max 100000\n"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert machine.cores_finding().found == "8, of which this process may use 1"


def test_memory_of_a_container(monkeypatch, tmp_path):
    files = {
        **meminfo(64 * GB, 50 * GB),
        "proc/self/cgroup": "0::/pod\n",
        "cgroup/pod/memory.max": str(8 * GB),
        "cgroup/pod/memory.current": str(6 * GB),
        "cgroup/pod/memory.stat": f"anon 1\ninactive_file {4 * GB}\n",
    }
    kernel(monkeypatch, tmp_path, files)
    assert limits.memory_limit() == 8 * GB
    assert limits.memory_available() == 6 * GB
    finding = machine.memory_finding()
    assert (finding.verdict, finding.advice) == ("ok", "")
    assert finding.found == "64 GB, 6.0 GB available; the container may have 8.0 GB"
    files["cgroup/pod/memory.current"] = str(9 * GB)
    kernel(monkeypatch, tmp_path, files)
    finding = machine.memory_finding()
    assert (finding.verdict, "raise the container's limit" in finding.advice) == ("warn", True)


def test_a_limit_above_what_there_is_is_none(monkeypatch, tmp_path):
    unlimited = {"cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}
    kernel(monkeypatch, tmp_path, {**meminfo(8 * GB, 5 * GB), **unlimited})
    assert limits.memory_limit() is None
    assert limits.memory_available() == pytest.approx(5 * GB, abs=1024)


@pytest.mark.parametrize(("free", "verdict"), [(0.5, "fail"), (2, "warn"), (9, "ok")])
def test_memory(free, verdict, monkeypatch, tmp_path):
    kernel(monkeypatch, tmp_path, meminfo(16 * GB, free * GB))
    finding = machine.memory_finding()
    assert (finding.verdict, "end other programs" in finding.advice) == (verdict, verdict != "ok")


@pytest.mark.parametrize(
    ("free", "total", "verdict", "advice"),
    [
        (0.5, 100, "fail", "free some room, or export TMPDIR"),
        (50, 2000, "warn", "no disk that is more than 95 % full"),
        (8, 20, "warn", "spills what its object store cannot hold"),
        (50, 100, "ok", ""),
    ],
)
def test_the_disk_that_ray_spills_to(free, total, verdict, advice, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    disk(monkeypatch, free=free * GB, total=total * GB)
    finding = machine.temp_finding()
    assert (finding.verdict, bool(finding.advice)) == (verdict, bool(advice))
    assert advice in finding.advice


def test_sockets_with_too_long_a_path(monkeypatch):
    disk(monkeypatch, free=50 * GB)
    monkeypatch.setattr(os, "getpid", lambda: 1_234_567)
    for length, verdict in ((27, "ok"), (28, "fail")):
        name = "/" + "t" * (length - 1)
        monkeypatch.setattr("tempfile.gettempdir", lambda name=name: name)
        monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: io.BytesIO())
        finding = machine.temp_finding()
        assert (finding.verdict, "TMPDIR" in finding.advice) == (verdict, verdict == "fail")
        path = (
            f"{name}/raynef-12345678/session_2026-11-21_02-31-00_123456_1234567"
            "/sockets/plasma_store"
        )
        assert (len(path) > 107) == (verdict == "fail")


def test_a_folder_that_cannot_be_written_to(monkeypatch, tmp_path):
    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    finding = machine.here_finding()
    assert (finding.verdict, finding.advice[:10]) == ("warn", "give --out")
    assert "cannot be written to: Permission denied" in finding.found
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    assert machine.temp_finding().verdict == "fail"


def test_small_shared_memory(monkeypatch, tmp_path):
    kernel(monkeypatch, tmp_path, meminfo(20 * GB, 20 * GB))
    disk(monkeypatch, free=64e6)  # what docker gives
    finding = machine.shared_memory_finding(tmp_path)
    assert finding.verdict == "warn"
    assert "64 MB free" in finding.found
    assert "object store takes 6.0 GB" in finding.found
    assert "--shm-size=7g" in finding.advice
    disk(monkeypatch, free=7 * GB)
    assert machine.shared_memory_finding(tmp_path).verdict == "ok"
    assert machine.shared_memory_finding(tmp_path / "none").verdict == "ok"


def test_the_object_store_is_that_of_ray():
    """Beside Ray's own function; on any machine, for what it sees of the shared memory."""
    utils = pytest.importorskip("ray._private.utils")
    if not Path("/dev/shm").is_dir():
        pytest.skip("no shared memory")
    shared = utils.get_shared_memory_bytes()
    for memory in (3 * GB, 40 * GB, 900 * GB):
        theirs = utils.resolve_object_store_memory(memory)
        assert machine.object_store(memory, shared) == pytest.approx(theirs, rel=0.01)


@pytest.mark.parametrize(
    ("soft", "hard", "verdict"),
    [(1024, 1_048_576, "ok"), (1024, 2048, "warn"), (8192, 8192, "ok")],
)
def test_open_files(soft, hard, verdict, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    finding = machine.open_files_finding()
    assert (finding.verdict, "ulimit -n 8192" in finding.advice) == (verdict, verdict == "warn")


# -------------------------------------------------------------------------------------- libraries


def answers(values):
    return lambda *_arguments: values


def fails(*_arguments):
    raise libraries.ProbeError("ModuleNotFoundError: no such module")


def hangs(*_arguments):
    raise libraries.ProbeTimeout("no answer within 60 s")


CHECKS = {
    "torchvision": libraries.torchvision_finding,
    "faiss": libraries.faiss_finding,
    "CRF": libraries.crf_finding,
    "gloo": libraries.gloo_finding,
    "NCCL": lambda run: libraries.nccl_finding(run, num_gpus=1),
}


def test_a_crf_that_is_not_installed_is_no_fault():
    finding = libraries.crf_finding(answers({"labels": None}))
    assert (finding.verdict, finding.advice) == ("ok", "")
    assert "raynef[crf]" in finding.found


@pytest.mark.parametrize(
    ("name", "good", "bad", "advice"),
    [
        ("torchvision", {"kept": [0]}, {"kept": [0, 1]}, "from one index"),
        (
            "faiss",
            {"nearest": [0, 1], "options": ["AVX2"], "gpus": None},
            {"nearest": [1, 0], "options": [], "gpus": None},
            "--force-reinstall faiss-cpu",
        ),
        ("CRF", {"labels": [0]}, {"labels": [0, 1]}, "with a C++ compiler"),
        (
            "gloo",
            {"sum": 3.0, "processes": 2, "codes": [0]},
            {"sum": 3.0, "processes": 2, "codes": [1]},
            "GLOO_SOCKET_IFNAME=lo",
        ),
        (
            "NCCL",
            {"sum": 1.0, "processes": 1, "codes": []},
            {"sum": 2.0, "processes": 1, "codes": []},
            "NCCL_DEBUG=INFO",
        ),
    ],
)
def test_a_library(name, good, bad, advice):
    check = CHECKS[name]
    found = check(answers(good))
    assert (found.name, found.verdict, found.advice) == (name, "ok", "")
    assert check(answers(bad)).verdict == "fail"
    found = check(fails)
    assert (found.verdict, advice in found.advice) == ("fail", True)
    assert "no such module" in found.found
    found = check(hangs)
    assert (found.verdict, "is the machine busy?" in found.advice) == ("fail", True)


def test_faiss_of_a_machine_with_a_gpu():
    cpu = {"nearest": [0], "options": ["AVX512"], "gpus": None}
    found = libraries.faiss_finding(answers(cpu), num_gpus=1)
    assert (found.verdict, "raynef[gpu]" in found.advice) == ("warn", True)
    found = libraries.faiss_finding(answers({**cpu, "gpus": 2}), num_gpus=2)
    assert (found.verdict, found.found) == ("ok", "built for GPUs, of which it sees 2")


H200 = {"name": "NVIDIA H200", "memory": 150 * GB}
ON_CPU = {"mps": None, "device": "cpu", "why": "torch sees no GPU", "bfloat16": False}
NONE = {"built_for": "12.8", "devices": [], "kernels": [], "warnings": [], **ON_CPU}
ON_MPS = NONE | {"mps": {"error": None}, "device": "mps", "why": "torch sees an Apple GPU"}
FORCED = {"device": "cpu", "why": "RAYNEF_DEVICE says so"}
OLD = "The NVIDIA driver on your system is too old (found version 11040)"


@pytest.mark.parametrize(
    ("seen", "nvidia", "hidden", "verdict", "found", "advice"),
    [
        (NONE, False, None, "ok", "no GPU", ""),
        (NONE | {"bfloat16": True}, False, None, "ok", "products are in bfloat16", ""),
        (NONE | {"devices": [H200], "kernels": [None]}, True, None, "ok", "H200 (150 GB)", ""),
        (
            NONE | {"devices": [H200], "kernels": ["no kernel image is available"]},
            True,
            None,
            "fail",
            "no kernel image",
            "built for this GPU",
        ),
        (NONE, True, "", "warn", "hidden by CUDA_VISIBLE_DEVICES=''", "unset"),
        (NONE | {"built_for": None}, True, None, "warn", "CPU alone", "torch with CUDA"),
        (
            ON_MPS,
            False,
            None,
            "ok",
            "run on mps (torch sees an Apple GPU); their products are in float",
            "",
        ),
        (ON_MPS | FORCED, False, None, "ok", "run on cpu (RAYNEF_DEVICE says so)", ""),
        (
            ON_MPS | {"mps": {"error": "no Metal"}},
            False,
            None,
            "fail",
            "it: no Metal",
            "DEVICE=cpu",
        ),
        (NONE | {"device": None, "why": "is tpu"}, False, None, "fail", "is tpu", "unset RAYNEF"),
        (NONE | {"warnings": [OLD]}, True, None, "fail", "is too old", "update the NVIDIA driver"),
    ],
)
def test_devices(seen, nvidia, hidden, verdict, found, advice, monkeypatch, tmp_path):
    monkeypatch.setattr(libraries, "DEV", tmp_path)
    monkeypatch.setattr(libraries, "DRIVER", tmp_path / "gpus")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if nvidia:
        (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()  # of a driver without a device
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    finding = libraries.devices_finding(seen)
    assert (finding.verdict, bool(finding.advice)) == (verdict, bool(advice))
    assert found in finding.found
    assert advice in finding.advice


def test_a_probe_that_ends_badly(monkeypatch):
    real = subprocess.Popen

    def instead(code):
        return lambda _command, **options: real([sys.executable, "-c", code], **options)

    for code, said in (
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
        ("raise ImportError('libgomp.so.1')", "ImportError: libgomp.so.1"),
        ("import time; time.sleep(60)", "no answer within 0 s"),
    ):
        monkeypatch.setattr(subprocess, "Popen", instead(code))
        with pytest.raises(libraries.ProbeError) as error:
            libraries.probe("faiss", timeout_s=0.2 if "sleep" in code else 60)
        assert str(error.value) == said


@pytest.mark.slow
def test_the_libraries_here():
    """Every trial, as it is run: CRF, faiss, torchvision, torch, and gloo over two processes."""
    found = {finding.name: finding for finding in libraries.library_findings()}
    assert list(found) == ["devices", "gloo", "torchvision", "CRF", "faiss", "NCCL"]
    busy = [f for f in found.values() if "no answer within" in f.found]
    if busy:
        pytest.skip(f"the machine is too busy: {busy}")
    for finding in found.values():
        assert finding.verdict != "fail", finding
    assert found["gloo"].found == "adds, over 2 processes"


# --------------------------------------------------------------------------------------- settings


@pytest.fixture
def home(monkeypatch, tmp_path) -> Path:
    """A home without a token, and no word of Ray in the environment."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_token_file(home):
    assert settings.token_finding().verdict == "ok"
    token = home / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("secret")
    token.chmod(0o644)
    finding = settings.token_finding()
    assert (finding.verdict, finding.advice) == ("fail", f"chmod 600 {token}")
    assert "secret" not in str(finding)
    token.chmod(0o600)
    assert settings.token_finding().verdict == "ok"
    token.write_text("\n")
    finding = settings.token_finding()
    assert (finding.verdict, finding.advice) == ("fail", "ray get-auth-token --generate")


@pytest.mark.parametrize(
    ("name", "value", "verdict", "advice"),
    [
        ("RAY_AUTH_MODE", "disabled", "warn", "unset RAY_AUTH_MODE"),
        ("RAY_AUTH_MODE", "none", "warn", "export RAY_AUTH_MODE=token"),
        ("RAY_AUTH_MODE", "token", "ok", ""),
        ("RAY_AUTH_TOKEN", "secret", "ok", ""),
        ("RAY_AUTH_TOKEN_PATH", "/no/such/file", "fail", "or unset the variable"),
    ],
)
def test_the_token_by_the_environment(name, value, verdict, advice, home, monkeypatch):
    monkeypatch.setenv(name, value)
    finding = settings.token_finding()
    assert (finding.verdict, bool(finding.advice)) == (verdict, bool(advice))
    assert advice in finding.advice
    assert "secret" not in str(finding)


def test_an_address_in_the_environment(home, monkeypatch):
    assert settings.address_finding().verdict == "ok"
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    finding = settings.address_finding()
    assert (finding.verdict, "--address head:6379" in finding.advice) == ("warn", True)


# ------------------------------------------------------------------------------------- the command


def test_a_check_that_crashes_is_a_failure():
    def crash():
        raise ZeroDivisionError("of\nours")

    (finding,) = findings_of("disk", crash)
    assert (finding.name, finding.verdict) == ("disk", "fail")
    assert finding.found == "the check itself failed: ZeroDivisionError: of ours"
    assert finding.advice


@pytest.mark.parametrize(
    ("verdict", "status", "last"),
    [("ok", 0, "everything is in order"), ("warn", 0, "0 failed, 1"), ("fail", 1, "1 failed, 0")],
)
def test_the_exit_status(verdict, status, last, home, monkeypatch, capsys):
    from raynef.cli.main import main

    advice = "" if verdict == "ok" else "do this"
    monkeypatch.setattr(examine, "_packages", lambda: [Finding("torch", verdict, "2", advice)])
    monkeypatch.setattr(examine, "library_findings", list)
    for name in ("cores", "memory", "temp", "here", "open_files", "shared_memory"):
        monkeypatch.setattr(examine, f"{name}_finding", lambda: Finding("x", "ok", "y"))
    with pytest.raises(SystemExit) as exit_:
        main(["doctor"])
    said = capsys.readouterr()
    assert exit_.value.code == status
    result = json.loads(said.out)
    assert result["ok"] == (status == 0)
    first = {"name": "torch", "verdict": verdict, "found": "2", "advice": advice}
    assert result["checks"][0] == first
    lines = said.err.splitlines()
    assert lines[0].split() == [verdict, "torch", "2"]
    assert ("-> do this" in lines[1]) == bool(advice)
    assert lines[-1].startswith(last)


def test_it_starts_without_ray_and_torch():
    code = (
        "import sys\n"
        "import raynef.ops.doctor.examine, raynef.ops.doctor.packages\n"
        "assert not {'ray', 'torch', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("amount", "said"),
    [(64e6, "64 MB"), (3.44e6, "3.4 MB"), (25e9, "25 GB"), (1.5e12, "1.5 TB"), (12_000, "12 kB")],
)
def test_in_bytes(amount, said):
    assert in_bytes(amount) == said


# ------------------------------------------------------------------------------------- the cluster


def test_a_cluster_that_is_too_small_or_not_there(monkeypatch):
    from raynef.core.errors import UserError
    from raynef.ops.doctor import cluster

    small = cluster.cluster_finding("auto", {"CPU": 1.0}, [{}])
    assert (small.verdict, "add nodes" in small.advice) == ("fail", True)

    def refuse(address, *, min_cpus):
        raise UserError(f"no Ray cluster answers at {address!r}")

    monkeypatch.setattr(cluster, "ray_session", refuse)
    (finding,) = cluster.cluster_findings("head:1")
    assert (finding.name, finding.verdict) == ("cluster", "fail")
    assert "no Ray cluster answers at 'head:1'" in finding.found
    assert "ray status" in finding.advice


def test_a_node_of_other_versions():
    from raynef.ops.doctor.cluster import versions, versions_finding

    here = versions()
    assert versions_finding("node a", here, here).verdict == "ok"
    finding = versions_finding("node a", here | {"torch": "1.0"}, here)
    assert finding.verdict == "warn"
    assert finding.found == f"torch 1.0 (here {here['torch']})"
