"""Compiled libraries: GPUs, torchvision, faiss, the CRF, gloo and NCCL, each tried for a moment."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from raynef.core.amounts import in_bytes
from raynef.ops.doctor.finding import Finding, findings_of

DEV, DRIVER = Path("/dev"), Path("/proc/driver/nvidia/gpus")
_TIMEOUT_S = 60.0  # torch takes seconds to import, and more from a cold disk
_REINSTALL = "pip install --force-reinstall {}"

Probe = Callable[..., dict[str, Any]]


class ProbeError(RuntimeError):
    """Why a trial came to nothing, in a line."""

    def advice(self, otherwise: str) -> str:
        """What to do about it."""
        return otherwise


class ProbeTimeout(ProbeError):
    """It took too long."""

    def advice(self, otherwise: str) -> str:
        return f"is the machine busy? Then ask again later; else {otherwise}"


def probe(*arguments: str, timeout_s: float = _TIMEOUT_S) -> dict[str, Any]:
    """Run one of ``raynef.ops.doctor.probes`` in a process of its own.

    Raises:
        ProbeError: it failed, crashed or took too long.
    """
    command = [sys.executable, "-m", "raynef.ops.doctor.probes", *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that what it forks ends with it
    )
    try:
        said, complaint = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise ProbeTimeout(f"no answer within {timeout_s:.0f} s") from error
    if process.returncode < 0:
        raise ProbeError(f"ended by {signal.Signals(-process.returncode).name}")
    if process.returncode > 0:
        lines = [line for line in complaint.splitlines() if line.strip()]
        raise ProbeError(lines[-1].strip() if lines else f"exit status {process.returncode}")
    return json.loads(said.splitlines()[-1])


def library_findings() -> list[Finding]:
    """All of them; the trials run side by side, as many at once as there are cores."""
    with ThreadPoolExecutor(max_workers=max(2, min(4, os.cpu_count() or 1))) as pool:
        gpus = pool.submit(_gpus)
        others = [
            pool.submit(findings_of, name, check)
            for name, check in (
                ("gloo", gloo_finding),
                ("torchvision", torchvision_finding),
                ("CRF", crf_finding),
            )
        ]
        devices, count = gpus.result()
        others.append(pool.submit(findings_of, "faiss", lambda: faiss_finding(num_gpus=count)))
        others.append(pool.submit(findings_of, "NCCL", lambda: nccl_finding(num_gpus=count)))
        return [*devices, *(finding for other in others for finding in other.result())]


def _gpus() -> tuple[list[Finding], int]:
    """The finding of the devices, and how many of them compute."""
    try:
        seen = probe("torch")
    except ProbeError as error:
        advice = error.advice(_REINSTALL.format("torch"))
        return [Finding("devices", "fail", f"torch: {error}", advice)], 0
    usable = sum(error is None for error in seen["kernels"])
    return findings_of("devices", lambda: devices_finding(seen)), usable


def devices_finding(seen: dict[str, Any]) -> Finding:
    """What torch sees, beside what the machine has.

    Args:
        seen: what ``probes.torch_devices`` returned.
    """
    devices = seen["devices"]
    if devices:
        names = ", ".join(f"{device['name']} ({in_bytes(device['memory'])})" for device in devices)
        found = f"{len(devices)} GPU(s): {names}"
        broken = next((error for error in seen["kernels"] if error is not None), None)
        if broken is None:
            return Finding("devices", "ok", found)
        return Finding(
            "devices",
            "fail",
            f"{found}; torch cannot compute on it: {broken}",
            "install a torch that is built for this GPU (pytorch.org, Get started)",
        )
    if not _has_nvidia():
        return Finding("devices", "ok", "no GPU: everything runs on the CPU")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return Finding(
            "devices",
            "warn",
            f"a GPU, hidden by CUDA_VISIBLE_DEVICES={hidden!r}",
            "unset CUDA_VISIBLE_DEVICES",
        )
    if seen["built_for"] is None:
        return Finding(
            "devices",
            "warn",
            "a GPU, but this torch is built for the CPU alone",
            "install a torch with CUDA (pytorch.org, Get started)",
        )
    why = "; ".join(seen["warnings"]) or "torch does not say why"
    return Finding(
        "devices",
        "fail",
        f"a GPU that torch (built for CUDA {seen['built_for']}) cannot use: {why}",
        "update the NVIDIA driver, or install a torch for an older CUDA; in a container: "
        "docker run --gpus all",
    )


def _has_nvidia() -> bool:
    """Whether the machine has a GPU of NVIDIA, whatever torch says."""
    return any(DEV.glob("nvidia[0-9]*")) or (DRIVER.is_dir() and any(DRIVER.iterdir()))


def torchvision_finding(run: Probe = probe) -> Finding:
    """Whether torchvision and torch fit together."""
    name, advice = "torchvision", _REINSTALL.format("torch torchvision")
    try:
        kept = run("torchvision")["kept"]
    except ProbeError as error:
        advice += ", from one index, so that they fit"
        return Finding(name, "fail", str(error), error.advice(advice))
    if kept != [0]:
        return Finding(name, "fail", f"its nms keeps boxes {kept} of two equal ones", advice)
    return Finding(name, "ok", "its operators work")


def faiss_finding(run: Probe = probe, *, num_gpus: int = 0) -> Finding:
    """Whether faiss searches, and on what."""
    try:
        seen = run("faiss")
    except ProbeError as error:
        advice = error.advice(_REINSTALL.format("faiss-cpu"))
        return Finding("faiss", "fail", str(error), advice)
    if seen["nearest"] != list(range(len(seen["nearest"]))):
        found = f"a wrong search: {seen['nearest']}"
        return Finding("faiss", "fail", found, _REINSTALL.format("faiss-cpu"))
    options = " ".join(seen["options"])
    if seen["gpus"]:
        return Finding("faiss", "ok", f"built for GPUs, of which it sees {seen['gpus']}")
    if num_gpus:
        return Finding(
            "faiss",
            "warn",
            f"finds no GPU ({options}): K-means runs on the CPU",
            "pip uninstall faiss-cpu && pip install 'raynef[gpu]'",
        )
    return Finding("faiss", "ok", f"searches on the CPU ({options})")


def crf_finding(run: Probe = probe) -> Finding:
    """Whether the CRF infers; it is a package that is compiled when it is installed."""
    advice = _REINSTALL.format("--no-cache-dir pydensecrf2") + ", with a C++ compiler at hand"
    try:
        labels = run("crf")["labels"]
    except ProbeError as error:
        return Finding("CRF", "fail", str(error), error.advice(advice))
    if labels != [0]:
        return Finding("CRF", "fail", f"leaves a lone pixel among others: {labels}", advice)
    return Finding("CRF", "ok", "infers")


def gloo_finding(run: Probe = probe) -> Finding:
    """Whether two processes can add by gloo, which trains on CPUs."""
    try:
        return _summed("gloo", run("collective", "gloo", "2"))
    except ProbeError as error:
        return Finding(
            "gloo",
            "fail",
            f"two processes cannot add a number: {error}",
            error.advice(
                "the machine's own name must lead to one of its addresses (getent hosts "
                "$(hostname)); or export GLOO_SOCKET_IFNAME=lo, on a cluster the interface between "
                "the nodes"
            ),
        )


def nccl_finding(run: Probe = probe, *, num_gpus: int = 0) -> Finding:
    """Whether GPUs can add by NCCL: two of them, or one alone."""
    if not num_gpus:
        return Finding("NCCL", "ok", "not needed: no GPU")
    try:
        return _summed("NCCL", run("collective", "nccl", str(min(2, num_gpus))))
    except ProbeError as error:
        return Finding(
            "NCCL",
            "fail",
            str(error),
            error.advice(
                "NCCL_DEBUG=INFO says more; NCCL_P2P_DISABLE=1 helps where GPUs cannot reach one "
                "another, NCCL_SOCKET_IFNAME names the interface, --shm-size=1g a container's "
                "memory"
            ),
        )


def _summed(name: str, seen: dict[str, Any]) -> Finding:
    count = seen["processes"]
    if seen["sum"] != count * (count + 1) / 2 or any(seen["codes"]):
        raise ProbeError(f"sum {seen['sum']:g}, exit statuses {seen['codes']}")
    return Finding(name, "ok", f"adds, over {count} process{'es' if count > 1 else ''}")
