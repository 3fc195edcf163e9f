"""The machine: cores, memory, disks, shared memory and open files."""

import math
import os
import shutil
import sys
import tempfile
from pathlib import Path

from raynef.core.amounts import in_bytes
from raynef.ops.doctor import limits
from raynef.ops.doctor.finding import Outcome, check

_GB = 10**9
_IDLE = 1 * _GB
"""Memory without which nothing starts: an idle Ray has 0.5 to 0.7 GB, as measured."""
_EASE = 4 * _GB
"""Memory in which the sample trains, roughly: Ray 0.7 GB, and 1 GB each for the driver, the object
store and a worker."""
_DISK_LEAST, _DISK_EASE = 1 * _GB, 10 * _GB
_DISK_FULL = 0.95
"""Share of a disk from which on Ray writes nothing more to it (local_fs_capacity_threshold)."""
_STORE_SHARE, _STORE_LEAST, _STORE_MOST = 0.3, 10 * _GB, 200 * _GB
"""Ray's object store by default: this share of the memory available, and never more than the
shared memory or 10 GB, whichever is larger, or than 200 GB (ray._private.utils)."""
_FILES_LEAST, _FILES_RAISED = 4096, 65_536
"""Open files below which Ray warns, and to which it raises the limit itself where it may."""
_SOCKET = 103 if sys.platform == "darwin" else 107
"""Bytes of the longest path of a socket."""
_SOCKET_BELOW = len("/raynef-12345678/session_2026-01-01_00-00-00_000000_/sockets/plasma_store")


@check("cores")
def cores_finding() -> Outcome:
    """Cores of the machine, and how many of them this process may use."""
    cores, allowed = os.cpu_count() or 1, limits.cores_allowed()
    if allowed >= cores:
        return "ok", str(cores)
    return (
        "warn",
        f"{cores}, of which this process may use {allowed}",
        f"work is spread over {cores} cores and its threads will wait for one another: allow more "
        "(docker run --cpus, --cpuset-cpus; Kubernetes: limits.cpu), or expect it to be slow",
    )


@check("memory")
def memory_finding() -> Outcome:
    """Memory of the machine, what the container allows, and what is left."""
    total, limit, free = limits.memory_total(), limits.memory_limit(), limits.memory_available()
    if total is None or free is None:
        return "ok", "cannot be read on this system"
    found = f"{in_bytes(total)}, {in_bytes(free)} available"
    if limit is not None:
        found += f"; the container may have {in_bytes(limit)}"
    more = "end other programs" if limit is None else "raise the container's limit"
    if free < _IDLE:
        return "fail", found, f"Ray alone takes 0.7 GB: {more}"
    if free < _EASE:
        enough = f"{in_bytes(_EASE)} are enough for the sample"
        return "warn", found, f"{enough}: {more}, or lower train.batch_size"
    return "ok", found


@check("Ray's folder")
def temp_finding() -> Outcome:
    """The folder in which an embedded Ray keeps its sockets and logs, and to which it spills."""
    folder = Path(tempfile.gettempdir())
    longest = len(os.fsencode(folder)) + _SOCKET_BELOW + len(str(os.getpid()))
    if longest > _SOCKET:
        found = f"{folder} is too long a name: Ray's sockets there would have paths of {longest}"
        found += f" bytes, and {_SOCKET} is the most"
        return "fail", found, "export TMPDIR=/tmp, or another short name"
    needs = "Ray spills what its object store cannot hold"
    elsewhere = "export TMPDIR=DIR, on a larger disk"
    return _disk(folder, needs, elsewhere, must_write=True)


@check("this folder")
def here_finding() -> Outcome:
    """The current folder, in which results land unless --out says otherwise."""
    needs = "features take 0.5 MB an image and view (ViT-Ti, 320 pixels), or more"
    elsewhere = "give --out (and --train.store) on a larger disk"
    return _disk(Path.cwd(), needs, elsewhere, must_write=False)


def _disk(folder: Path, needs: str, elsewhere: str, *, must_write: bool) -> Outcome:
    """Whether a folder can be written to, and the room on its disk."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"raynef")
            probe.flush()
    except OSError as error:
        found = f"{folder} cannot be written to: {error.strerror or error}"
        return "fail" if must_write else "warn", found, elsewhere
    usage = shutil.disk_usage(folder)
    full = 1 - usage.free / usage.total if usage.total else 1.0
    found = f"{folder}: {in_bytes(usage.free)} free of {in_bytes(usage.total)}"
    more = f"free some room, or {elsewhere}"
    if usage.free < _DISK_LEAST:
        return "fail", found, f"{needs}: {more}"
    if must_write and full > _DISK_FULL:
        found += f", {100 * full:.0f} % full"
        return "warn", found, f"Ray writes to no disk that is more than 95 % full: {more}"
    if usage.free < _DISK_EASE:
        return "warn", found, f"{needs}: {more}"
    return "ok", found


@check("shared memory")
def shared_memory_finding(folder: Path = Path("/dev/shm")) -> Outcome:
    """Shared memory beside the object store that Ray would make."""
    free = limits.memory_available()
    if not folder.is_dir() or free is None:
        return "ok", "none here: Ray keeps its object store in a file"
    room = shutil.disk_usage(folder).free
    store = object_store(free, room)
    if room >= store:
        return "ok", f"{in_bytes(room)} free for an object store of {in_bytes(store)}"
    gigabytes = math.ceil(1.1 * store / _GB)
    return (
        "warn",
        f"{in_bytes(room)} free in {folder}, and Ray's object store takes {in_bytes(store)}: it "
        "would lie on disk, and be slow",
        f"docker run --shm-size={gigabytes}g (Kubernetes: an emptyDir of medium Memory at "
        f"{folder}), or delete files in {folder}",
    )


def object_store(memory: int, shared: int) -> int:
    """Bytes that Ray gives its object store by default, of the memory available and the shared."""
    return int(min(_STORE_SHARE * memory, max(_STORE_LEAST, 0.95 * shared), _STORE_MOST))


@check("open files")
def open_files_finding() -> Outcome:
    """How many files and connections a process may have open, once Ray has raised the limit."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY in (soft, hard)
    most = _FILES_RAISED if unlimited else max(soft, min(hard, _FILES_RAISED))
    if most >= _FILES_LEAST:
        return "ok", f"{most} allowed"
    found = f"{most} allowed, and Ray wants {_FILES_LEAST} at least"
    return "warn", found, "ulimit -n 8192 (docker run --ulimit nofile=65536:65536)"
