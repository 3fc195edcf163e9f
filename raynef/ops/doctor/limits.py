"""What the kernel lets this process have, as Linux's files say; None where they do not."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")


def memory_total() -> int | None:
    """Bytes of the machine."""
    return _meminfo("MemTotal")


def memory_available() -> int | None:
    """Bytes that can be had without swapping, of the machine and within the cgroup."""
    of_machine, limit = _meminfo("MemAvailable"), memory_limit()
    used = _memory_used()
    if limit is None or used is None:
        return of_machine
    return min(of_machine or limit, max(0, limit - used))


def memory_limit() -> int | None:
    """Bytes that the cgroup allows, where these are fewer than the machine has."""
    limits = [_number(f / "memory.max") for f in _folders("")]
    limits += [_number(f / "memory.limit_in_bytes") for f in _folders("memory")]
    found = min((limit for limit in limits if limit is not None), default=None)
    total = memory_total()
    return found if found is not None and (total is None or found < total) else None


def cpu_quota() -> float | None:
    """Cores' worth of time that the cgroup allows."""
    quotas: list[float] = []
    for folder in _folders(""):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            quotas.append(int(quota) / int(period))  # "max" is no number
    for folder in _folders("cpu"):
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota is not None and quota > 0 and period:
            quotas.append(quota / period)
    return min(quotas, default=None)


def cores_allowed() -> int:
    """Cores that this process may run on at once, at least 1."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = cpu_quota()
    return max(1, min(bound or 1, math.ceil(quota) if quota is not None else bound or 1))


def _memory_used() -> int | None:
    """Bytes of the cgroup in use; what the kernel would give back at once does not count."""
    for controller, used, gives_back in (
        ("", "memory.current", "inactive_file"),
        ("memory", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for folder in _folders(controller):
            amount = _number(folder / used)
            if amount is not None:
                return amount - (_field(folder / "memory.stat", gives_back) or 0)
    return None


def _folders(controller: str) -> Iterator[Path]:
    """The folders of this process's cgroup, innermost first: of version 2 where there is no name
    of a controller."""
    home = CGROUP / controller if controller else CGROUP
    own = ""
    with contextlib.suppress(OSError):
        for line in (PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                own = path.strip("/")
    folder = home / own
    while folder != home and home in folder.parents:
        yield folder
        folder = folder.parent
    yield home


def _meminfo(name: str) -> int | None:
    kilobytes = _field(PROC / "meminfo", f"{name}:")
    return kilobytes * 1024 if kilobytes is not None else None


def _field(file: Path, name: str) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in file.read_text().splitlines():
            words = line.split()
            if words and words[0] == name:
                return int(words[1])
    return None


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # "max" is no number
        return None
