"""Checkpoints of a training: whole or not taken at all, the newest first.

FOLDER/checkpoint_…/state.ckpt   at the end of an epoch (or every few steps); the last two are kept
FOLDER/interim.ckpt              between those: every few minutes, and when a shutdown is requested

A file is one line, ``raynef-checkpoint STEP SHA256``, and the state as torch saves it. The step is
read without unpickling; the digest finds what a crash cut short or a disk changed. The folder is
on a disk that every worker sees; Ray Train keeps the first kind there, for its own restarts.
"""

import contextlib
import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch

from raynef.io.files import write_atomic

State = dict[str, Any]
CHECKPOINT, INTERIM = "state.ckpt", "interim.ckpt"
_MAGIC = "raynef-checkpoint"
_HEADER = re.compile(rb"raynef-checkpoint (\d+) ([0-9a-f]{64})\n")


class DamagedCheckpointError(Exception):
    """A checkpoint that is not what was written."""


def write_checkpoint(path: Path, state: State, *, step: int) -> None:
    """Write one checkpoint atomically.

    Args:
        path: of the file.
        state: tensors and plain values.
        step: steps that are done; of two checkpoints the later counts.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).hexdigest()

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(f"{_MAGIC} {step} {digest}\n".encode())
            file.write(payload)

    write_atomic(path, write)


def read_checkpoint(path: Path) -> State:
    """The state in a file, on the CPU. Raises DamagedCheckpointError."""
    try:
        with path.open("rb") as file:
            header, payload = _HEADER.fullmatch(file.readline(200)), file.read()
    except OSError as error:
        raise DamagedCheckpointError(f"{path}: {error.strerror or error}") from error
    if header is None:
        raise DamagedCheckpointError(f"{path} has no header")
    if hashlib.sha256(payload).hexdigest() != header[2].decode():
        raise DamagedCheckpointError(f"{path} is truncated or changed: its checksum differs")
    try:
        return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle's own, and others
        raise DamagedCheckpointError(f"{path} holds more than tensors and plain values") from error


def step_of(path: Path) -> int | None:
    """Steps that were done at a checkpoint, from its first line; None where that is damaged."""
    try:
        with path.open("rb") as file:
            header = _HEADER.fullmatch(file.readline(200))
    except OSError:
        return None
    return None if header is None else int(header[1])


def has_checkpoint(folder: Path) -> bool:
    """Whether there is one, by its first line; its content is not read."""
    return any(step_of(path) is not None for path in _files(folder))


def newest_checkpoint(folder: Path) -> tuple[State | None, dict[Path, str]]:
    """The state of the latest whole checkpoint, or None, and later files that are damaged, and how.

    What lies there is believed, not a record of it: a checkpoint that was written just before a
    crash counts, though nobody was told of it.
    """
    found = _files(folder)
    # One without a header may be the latest: it is tried first, to be named.
    ranks = {path: (1, 0) if (step := step_of(path)) is None else (0, step) for path in found}
    damaged = {}
    for path in sorted(found, key=ranks.__getitem__, reverse=True):
        try:
            return read_checkpoint(path), damaged
        except DamagedCheckpointError as error:
            damaged[path] = str(error)
    return None, damaged


def _files(folder: Path) -> list[Path]:
    found = [*folder.glob(f"checkpoint_*/{CHECKPOINT}"), folder / INTERIM]
    return [path for path in found if path.is_file()]


def set_aside(path: Path) -> None:
    """Take a damaged checkpoint out of the way, for somebody to look at."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_suffix(".damaged"))
