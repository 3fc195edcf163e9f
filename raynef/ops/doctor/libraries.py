"""Compiled libraries: GPUs, torchvision, faiss, the CRF, gloo and NCCL, each tried for a moment."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from raynef.core.amounts import in_bytes
from raynef.ops.doctor.finding import Finding, Outcome, check, findings_of

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
        first = {"gloo": gloo_finding, "torchvision": torchvision_finding, "CRF": crf_finding}
        others = [pool.submit(findings_of, *item) for item in first.items()]
        devices, count = gpus.result()
        for name, finding in (("faiss", faiss_finding), ("NCCL", nccl_finding)):
            others.append(pool.submit(findings_of, name, partial(finding, num_gpus=count)))
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


@check("devices")
def devices_finding(seen: dict[str, Any]) -> Outcome:
    """What torch sees, beside what the machine has, and which of it is used.

    Args:
        seen: what ``probes.torch_devices`` returned.
    """
    if seen["device"] is None:
        return "fail", seen["why"], "unset RAYNEF_DEVICE"
    devices = seen["devices"]
    precision = f"their products are in {'bfloat16' if seen['bfloat16'] else 'float32'}"
    used = f"networks run on {seen['device']} ({seen['why']}); {precision}"
    if devices:
        names = ", ".join(f"{device['name']} ({in_bytes(device['memory'])})" for device in devices)
        found = f"{len(devices)} GPU(s): {names}; {used}"
        broken = next((error for error in seen["kernels"] if error is not None), None)
        if broken is None:
            return "ok", found
        advice = "install a torch that is built for this GPU (pytorch.org, Get started)"
        return "fail", f"{found}; torch cannot compute on it: {broken}", advice
    if seen["mps"] is not None:
        found = f"an Apple GPU; {used}; on Ray, which lends none of them, the CPU"
        if seen["mps"]["error"] is None:
            return "ok", found
        found += f"; torch cannot compute on it: {seen['mps']['error']}"
        return "fail", found, "update macOS and torch, or export RAYNEF_DEVICE=cpu"
    # Whether the machine has a GPU of NVIDIA, whatever torch says.
    if not any(DEV.glob("nvidia[0-9]*")) and not (DRIVER.is_dir() and any(DRIVER.iterdir())):
        return "ok", f"no GPU: {used}"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        found = f"a GPU, hidden by CUDA_VISIBLE_DEVICES={hidden!r}"
        return "warn", found, "unset CUDA_VISIBLE_DEVICES"
    if seen["built_for"] is None:
        found = "a GPU, but this torch is built for the CPU alone"
        return "warn", found, "install a torch with CUDA (pytorch.org, Get started)"
    why = "; ".join(seen["warnings"]) or "torch does not say why"
    return (
        "fail",
        f"a GPU that torch (built for CUDA {seen['built_for']}) cannot use: {why}",
        "update the NVIDIA driver, or install a torch for an older CUDA; in a container: "
        "docker run --gpus all",
    )


def _judged(
    run: Probe,
    arguments: str,
    judge: Callable[[dict[str, Any]], Outcome],
    advice: str,
    said: str = "{}",
) -> Outcome:
    """What a probe came to, or why it came to nothing, which is put into ``said``."""
    try:
        return judge(run(*arguments.split()))
    except ProbeError as error:
        return "fail", said.format(error), error.advice(advice)


@check("torchvision")
def torchvision_finding(run: Probe = probe) -> Outcome:
    """Whether torchvision and torch fit together."""
    advice = _REINSTALL.format("torch torchvision")

    def judge(seen: dict[str, Any]) -> Outcome:
        if seen["kept"] != [0]:
            return "fail", f"its nms keeps boxes {seen['kept']} of two equal ones", advice
        return "ok", "its operators work"

    return _judged(run, "torchvision", judge, f"{advice}, from one index, so that they fit")


@check("faiss")
def faiss_finding(run: Probe = probe, *, num_gpus: int = 0) -> Outcome:
    """Whether faiss searches, and on what."""
    advice = _REINSTALL.format("faiss-cpu")

    def judge(seen: dict[str, Any]) -> Outcome:
        if seen["nearest"] != list(range(len(seen["nearest"]))):
            return "fail", f"a wrong search: {seen['nearest']}", advice
        if seen["gpus"]:
            return "ok", f"built for GPUs, of which it sees {seen['gpus']}"
        options = " ".join(seen["options"])
        if num_gpus:
            found = f"finds no GPU ({options}): K-means runs on the CPU"
            return "warn", found, "pip uninstall faiss-cpu && pip install 'raynef[gpu]'"
        return "ok", f"searches on the CPU ({options})"

    return _judged(run, "faiss", judge, advice)


@check("CRF")
def crf_finding(run: Probe = probe) -> Outcome:
    """Whether the CRF infers, if it is there; a package that is compiled when it is installed."""
    advice = _REINSTALL.format("--no-cache-dir pydensecrf2") + ", with a C++ compiler at hand"

    def judge(seen: dict[str, Any]) -> Outcome:
        if seen["labels"] is None:
            return "ok", "not installed: pip install 'raynef[crf]' for scores after a CRF"
        if seen["labels"] != [0]:
            return "fail", f"leaves a lone pixel among others: {seen['labels']}", advice
        return "ok", "infers"

    return _judged(run, "crf", judge, advice)


@check("gloo")
def gloo_finding(run: Probe = probe) -> Outcome:
    """Whether two processes can add by gloo, which trains on CPUs."""
    return _judged(
        run,
        "collective gloo 2",
        _summed,
        "the machine's own name must lead to one of its addresses (getent hosts $(hostname)); or "
        "export GLOO_SOCKET_IFNAME=lo, on a cluster the interface between the nodes",
        said="two processes cannot add a number: {}",
    )


@check("NCCL")
def nccl_finding(run: Probe = probe, *, num_gpus: int = 0) -> Outcome:
    """Whether GPUs can add by NCCL: two of them, or one alone."""
    if not num_gpus:
        return "ok", "not needed: no GPU"
    return _judged(
        run,
        f"collective nccl {min(2, num_gpus)}",
        _summed,
        "NCCL_DEBUG=INFO says more; NCCL_P2P_DISABLE=1 helps where GPUs cannot reach one another, "
        "NCCL_SOCKET_IFNAME names the interface, --shm-size=1g a container's memory",
    )


def _summed(seen: dict[str, Any]) -> Outcome:
    count = seen["processes"]
    if seen["sum"] != count * (count + 1) / 2 or any(seen["codes"]):
        raise ProbeError(f"sum {seen['sum']:g}, exit statuses {seen['codes']}")
    return "ok", f"adds, over {count} process{'es' if count > 1 else ''}"
